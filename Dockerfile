# A run behind HTTP, or any other headstart command.
#
#   docker build -t headstart .
#   docker run --rm -p 8000:8000 --read-only --tmpfs /tmp -v "$PWD/runs/photos:/run/model:ro" headstart
#
# The default is an image for CPUs. For an NVIDIA GPU (docker run --gpus all):
#
#   docker build -t headstart:cuda --build-arg TORCH=cuda .

ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
# cpu: torch without the GPU libraries, from PyTorch's own index; cuda: the wheels of PyPI, which contain them.
ARG TORCH=cpu
ARG EXTRAS=embedded,fast,serve
WORKDIR /src
RUN python -m venv /opt/headstart
ENV PATH=/opt/headstart/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY constraints.txt ./
# A layer of its own: the dependency that is large and rarely changes.
RUN case "$TORCH" in \
      cpu) pip install --index-url https://download.pytorch.org/whl/cpu "torch>=2.6" "torchvision>=0.21" ;; \
      cuda) pip install -c constraints.txt torch torchvision ;; \
      *) echo "TORCH must be cpu or cuda, got $TORCH" >&2; exit 1 ;; \
    esac
COPY pyproject.toml README.md LICENSE ./
COPY tools/build_hook.py tools/
COPY src src
RUN if [ "$TORCH" = cpu ]; then grep -vE '^(torch|torchvision|triton|nvidia-|cuda-)' constraints.txt > known.txt; \
    else cp constraints.txt known.txt; fi \
    && pip install -c known.txt ".[$EXTRAS]"

FROM python:${PYTHON}-slim
# A user without a home folder or a shell; all that is written goes to /tmp.
RUN useradd --system --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin headstart
COPY --from=build /opt/headstart /opt/headstart
ENV PATH=/opt/headstart/bin:$PATH \
    HOME=/tmp \
    HEADSTART_CACHE=/tmp/headstart \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /tmp
EXPOSE 8000
STOPSIGNAL SIGTERM
# Of the service alone, at the port of its command; other commands are healthy while they run.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import re, urllib.request as u; c = open('/proc/1/cmdline').read().replace('\\0', ' '); p = re.search(r' --port[ =]([0-9]+)', c); ' serve ' in c and u.urlopen(f'http://127.0.0.1:{p[1] if p else 8000}/livez', timeout=2)"]
ENTRYPOINT ["headstart"]
CMD ["serve", "/run/model", "--host", "0.0.0.0", "--port", "8000"]
