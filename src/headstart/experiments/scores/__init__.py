"""Do transferability scores rank backbones or layers as their measured accuracy does?"""
