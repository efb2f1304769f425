{
  default = {
    path = ./default;
    description = "One container, with everything at its default";
  };
  services = {
    path = ./services;
    description = "A container with services of its own";
  };
  cuda = {
    path = ./cuda;
    description = "A container for training with CUDA's toolkit";
  };
}
