"""All-reduce over gloo between two boxes: first a few numbers, then 16 MiB, four times."""
import os
import time

import torch
import torch.distributed as dist

rank = int(os.environ["RANK"])
dist.init_process_group("gloo", init_method=f"tcp://{os.environ['MASTER_ADDR']}:29500", world_size=2, rank=rank)
t = torch.ones(4) * (rank + 1)
dist.all_reduce(t)
assert t.tolist() == [3] * 4, t
size = int(os.environ.get("MEBIBYTES", "16"))
x = torch.ones(size * 1024 * 1024 // 4)
dist.all_reduce(x)
began = time.time()
for _ in range(4):
    dist.all_reduce(x)
took = time.time() - began
print(f"ok, 4 times {size} MiB in {took:.2f} s, {4 * size * 8 * 1.048576 / 1000 / took:.3f} Gbit/s", flush=True)
dist.destroy_process_group()
