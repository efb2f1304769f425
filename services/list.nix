# The services that we ship, each with instances of its own, see multi.nix.
[
  ./comfyui.nix
  ./jupyter.nix
  ./nginx.nix
  ./ollama.nix
  ./ray.nix
  ./slurm.nix
  ./vllm.nix
]
