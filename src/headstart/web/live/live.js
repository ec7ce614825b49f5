// The tab Live: class bins whose classifier is fitted again as pictures arrive.
'use strict';
(() => {
  const KEY = 'headstart-live', EVERY_MS = 500, SIDE_PX = 480, FIT_MS = 2000;
  const at = (id) => document.getElementById(`live-${id}`);
  let visitor, classes = [], mistakes = {}, stream = null, queue = [], isSending = false, isFitting = false;
  let isStale = false, lastTried = null, fitted = 0;

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
      else if (value !== false) made.setAttribute(key, value === true ? '' : value);
    }
    made.append(...children);
    return made;
  }

  async function reach(address, options) {
    try {
      return await fetch(address, options);
    } catch {
      throw new Error('the server does not answer: see whether headstart web still runs, then load the page again.');
    }
  }

  async function ask(path, body, query = {}) {
    const answer = await reach(`/live/${visitor}/${path}?${new URLSearchParams(query)}`, {method: 'POST', body});
    if (answer.status === 404) {
      const {detail} = await answer.json().catch(() => ({}));
      await begin();
      throw new Error(detail ?? 'The pictures are not here any more: begin again.');
    }
    if (!answer.ok) throw new Error(`The server answered ${answer.status}: try again.`);
    return answer.json();
  }

  async function begin() {
    const known = localStorage.getItem(KEY);
    const answer = known && await reach(`/live/${known}`);
    if (answer?.ok) {
      visitor = known;
      classes = (await answer.json()).classes;
    } else {
      visitor = (await (await reach('/live', {method: 'POST'})).json()).id;
      localStorage.setItem(KEY, visitor);
      classes = (await (await reach(`/live/${visitor}`)).json()).classes;
    }
    draw();
    if (classes.some(({pictures}) => pictures.length)) fit();
  }

  // Problems stay until the next attempt.
  function complain(...messages) {
    at('problem').replaceChildren(...messages.slice(0, 6).map((message) =>
      element('p', {class: 'hs-alert'}, element('b', {}, 'Not done: '), message)));
  }

  async function change(path, query) {
    complain();
    try {
      const found = await ask(path, undefined, query);
      classes = found.classes;
      draw();
      if (found.error) complain(found.error);
      else if (path !== 'add-class') fit();
      return !found.error;
    } catch (error) {
      complain(error.message);
    }
  }

  function send(name, files, burst = '') {
    if (!burst) complain();
    queue.push(...files.map((file) => ({name, file, burst})));
    if (!isSending) sendAll();
  }

  async function sendAll() {
    isSending = true;
    const problems = [];
    let nDone = 0;
    while (queue.length) {
      const {name, file, burst} = queue.shift();
      at('busy').textContent = `picture ${++nDone} of ${nDone + queue.length} …`;
      try {
        const found = await ask('add-picture', file, {name, burst, file: file.name ?? 'the camera’s picture'});
        classes = found.classes;
        if (found.error) problems.push(found.error);
      } catch (error) {
        problems.push(error.message);
        queue = [];
      }
      draw();
      if (!queue.length || performance.now() - fitted > FIT_MS) fit();
    }
    isSending = false;
    at('busy').textContent = '';
    if (problems.length > 6) problems.splice(5, Infinity, `And ${problems.length - 5} more.`);
    if (problems.length) complain(...problems);
  }

  // One fit at a time; what arrives meanwhile is in the next.
  async function fit() {
    if (isFitting) { isStale = true; return; }
    isFitting = true;
    do {
      isStale = false;
      at('figure').setAttribute('aria-busy', 'true');
      try {
        const found = await ask('fit');
        at('figure').innerHTML = found.said;
        if (found.map) at('map').innerHTML = found.map;
        at('map').classList.toggle('live-old', !found.map && at('map').querySelector('svg') !== null);
        mistakes = found.mistakes || {};
        draw();
      } catch (error) {
        complain(error.message);
      }
      at('figure').removeAttribute('aria-busy');
    } while (isStale);
    isFitting = false;
    fitted = performance.now();
    if (lastTried && !isSending) classify(lastTried);
  }

  // The last picture is tried again after each fit.
  async function classify(file) {
    lastTried = file;
    const picture = element('img', {src: URL.createObjectURL(file), alt: 'The picture that is tried'});
    try {
      const found = await ask('try', file, {file: file.name ?? 'the camera’s picture'});
      const said = element('div');
      said.innerHTML = found.said ?? found.missing ?? '';
      if (found.error) {
        lastTried = null;
        said.append(element('p', {class: 'hs-alert'}, element('b', {}, 'Not done: '), found.error));
        at('tried').replaceChildren(said);
      } else at('tried').replaceChildren(element('div', {class: 'live-answer'}, picture, said));
    } catch (error) {
      complain(error.message);
    }
  }

  function drawPicture(name, {digest, file}) {
    const wrong = mistakes[digest];
    const said = `${file || 'a picture'} in ${name}` + (wrong ? `, taken for ${wrong}` : '');
    return element('li', {class: wrong ? 'live-wrong' : ''},
      element('img', {src: `/live/${visitor}/pictures/${digest}`, alt: said, title: said, loading: 'lazy'}),
      element('button', {
        type: 'button', title: 'Remove', 'aria-label': `Remove ${file || 'this picture'} from ${name}`,
        onclick: () => change('remove-picture', {digest}),
      }, '×'));
  }

  function drawClass({name, pictures}, i) {
    const rename = async ({target}) => {
      if (target.value.trim() === name) return;
      if (!await change('rename-class', {name, to: target.value})) target.value = name;
    };
    const bin = element('article', {class: 'live-drop live-class', 'data-name': name},
      element('div', {class: 'live-row'},
        element('input', {id: `live-name-${i}`, value: name, maxlength: 40, 'aria-label': `Name of class ${i + 1}`, onchange: rename}),
        element('span', {class: 'hs-small'}, `${pictures.length}`, element('span', {class: 'hs-sr'}, ' pictures')),
        element('button', {type: 'button', 'aria-label': `Remove the class ${name}`, onclick: () => change('remove-class', {name})}, 'Remove')),
      element('ul', {class: 'live-pictures'}, ...pictures.map((picture) => drawPicture(name, picture))),
      element('div', {class: 'live-row'},
        element('label', {class: 'live-file'}, 'Drop pictures here, or ', element('span', {}, 'choose some'),
          element('input', {
            type: 'file', multiple: true, accept: 'image/*', 'aria-label': `Pictures of ${name}`, id: `live-files-${i}`,
            onchange: ({target}) => { send(name, [...target.files]); target.value = ''; },
          })),
        shooter(element('button', {type: 'button', class: 'live-shoot', id: `live-shoot-${i}`, title: `Take pictures of ${name}`}, 'Hold to take pictures'), name)));
    return bin;
  }

  function draw() {
    if (isHeld) return;  // a button that is held must stay where it is
    const focused = document.activeElement?.id, typed = document.activeElement?.value;
    if (document.activeElement?.id.startsWith('live-name-') && at('classes').contains(document.activeElement)) {
      const i = Number(focused.slice(10));
      if (classes[i] && typed !== classes[i].name && typed !== document.activeElement.defaultValue) return;
    }
    at('classes').replaceChildren(...classes.map(drawClass));
    document.querySelectorAll('.live-shoot').forEach((button) => { button.hidden = !stream; });
    if (focused?.startsWith('live-')) document.getElementById(focused)?.focus();
  }

  // The camera
  let isHeld = false;

  async function lookThroughCamera() {
    complain();
    if (stream) {
      stream.getTracks().forEach((track) => track.stop());
      stream = null;
    } else if (!navigator.mediaDevices?.getUserMedia) {
      complain('the browser gives its camera to pages of this computer (127.0.0.1) and to HTTPS only: drop pictures instead.');
    } else {
      try {
        stream = await navigator.mediaDevices.getUserMedia({video: {width: 640, height: 480}});
        at('video').srcObject = stream;
        await at('video').play();
      } catch (error) {
        stream = null;
        complain({
          NotAllowedError: 'the camera was refused: allow it beside the address of this page, or drop pictures instead.',
          NotFoundError: 'no camera was found: connect one, or drop pictures instead.',
          NotReadableError: 'another program uses the camera: close it, or drop pictures instead.',
        }[error.name] ?? `the camera cannot be used (${error.name}): drop pictures instead.`);
      }
    }
    at('video').hidden = !stream;
    at('camera').setAttribute('aria-pressed', String(Boolean(stream)));
    at('camera').textContent = stream ? 'Stop the camera' : 'Use the camera';
    draw();
  }

  function shot() {
    const video = at('video'), canvas = document.createElement('canvas');
    const scale = SIDE_PX / Math.min(video.videoWidth, video.videoHeight);
    canvas.width = video.videoWidth * scale;
    canvas.height = video.videoHeight * scale;
    canvas.getContext('2d').drawImage(video, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.92));
  }

  // Pictures are taken while the button is held, one where it is pressed by a key. Those of one burst look
  // alike, so the server counts them as one.
  function shooter(button, name) {
    const take = async (burst) => {
      if (!stream) return;
      const picture = await shot();
      if (name === null) classify(picture);
      else send(name, [picture], burst);
    };
    let timer = null;
    const end = () => {
      clearInterval(timer);
      timer = null;
      if (isHeld) { isHeld = false; draw(); }
    };
    button.addEventListener('pointerdown', (event) => {
      if (event.button) return;
      isHeld = true;
      button.setPointerCapture(event.pointerId);
      const burst = `burst-${Date.now().toString(36)}`;
      take(burst);
      timer = setInterval(() => take(burst), EVERY_MS);
    });
    for (const kind of ['pointerup', 'pointercancel', 'lostpointercapture']) button.addEventListener(kind, end);
    button.addEventListener('keydown', (event) => {
      if ((event.key === 'Enter' || event.key === ' ') && !event.repeat) {
        event.preventDefault();
        take(`burst-${Date.now().toString(36)}`);
      }
    });
    return button;
  }

  async function save(event) {
    event.preventDefault();
    try {
      const found = await ask('save', undefined, {name: event.target.elements.name.value});
      const said = element('p', {class: found.error ? 'hs-alert' : 'hs-note'});
      if (found.error) said.append(element('b', {}, 'Not done: '), found.error);
      else said.append('Saved, and a training has begun: ', element('a', {href: `/?job=${found.job}`}, 'see how it goes'), '.');
      at('saved').replaceChildren(said);
    } catch (error) {
      complain(error.message);
    }
  }

  function listen(root) {
    at('add').addEventListener('click', async () => {
      const taken = new Set(classes.map(({name}) => name.toLowerCase()));
      let n = classes.length + 1;
      while (taken.has(`class ${n}`)) n += 1;
      if (await change('add-class', {name: `Class ${n}`})) at(`name-${classes.length - 1}`)?.select();
    });
    at('camera').addEventListener('click', lookThroughCamera);
    at('save').addEventListener('submit', save);
    at('try').querySelector('input').addEventListener('change', ({target}) => {
      if (target.files[0]) classify(target.files[0]);
      target.value = '';
    });
    shooter(at('try').querySelector('button'), null);
    const area = ({target}) => target.closest?.('.live-drop');
    root.addEventListener('dragover', (event) => {
      if (!area(event)) return;
      event.preventDefault();
      area(event).classList.add('live-over');
    });
    root.addEventListener('dragleave', (event) => area(event)?.classList.remove('live-over'));
    root.addEventListener('drop', (event) => {
      const over = area(event), files = [...event.dataTransfer.files];
      if (!over) return;
      event.preventDefault();
      over.classList.remove('live-over');
      if (!files.length) return;
      if (over.id === 'live-try') classify(files[0]);
      else send(over.dataset.name, files);
    });
  }

  // The tab is filled when it is first opened.
  const waiting = setInterval(() => {
    const root = document.querySelector('#live .live');
    if (!root || root.dataset.ready) return;
    root.dataset.ready = 'yes';
    listen(root);
    const seen = new IntersectionObserver(([entry]) => {
      if (!entry.isIntersecting) return;
      seen.disconnect();
      begin().catch((error) => complain(error.message));
    });
    seen.observe(root);
    clearInterval(waiting);
  }, 200);
})();
