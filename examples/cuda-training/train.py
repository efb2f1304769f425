"""Fits a line on the GPU: what a training looks like to the box."""

import torch

device = torch.device("cuda")
print(torch.__version__, torch.cuda.get_device_name(device), flush=True)

x = torch.linspace(-1, 1, 1_000_000, device=device).unsqueeze(1)
y = 3 * x + 2
model = torch.nn.Linear(1, 1, device=device)
optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
for step in range(300):
    loss = torch.nn.functional.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"y = {model.weight.item():.2f} x + {model.bias.item():.2f}", flush=True)
