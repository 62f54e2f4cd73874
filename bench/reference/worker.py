"""PyTorch's side: reads one JSON request a line, answers with one JSON line. ../ours/worker.ts is its twin.

Requests: {"do": "open", threads, device, clock}, {"do": "prepare", kind, sizes, folder, shared}, {"do": "time", count},
{"do": "memory"}, {"do": "release"}. It ends when its input does.
"""
import json
import os
import signal
import sys
import time

# What libraries print goes to standard error: standard output carries answers only.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
# Ctrl-C is the parent's to handle; it ends this process.
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def peak_bytes():
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


class Worker:
    work = None

    def open(self, threads, device, clock):
        self.clock = {"wall": time.perf_counter, "cpu": time.process_time}[clock]
        try:
            import torch
        except ImportError:
            return {"missing": ["torch"]}
        self.torch, self.device = torch, device
        if device.startswith("cuda") and not torch.cuda.is_available():
            return {"missing": ["torch with CUDA"]}
        torch.set_num_threads(threads)
        missing, versions = [], {"python": sys.version.split()[0], "torch": torch.__version__}
        try:
            import transformers

            transformers.utils.logging.disable_progress_bar()
            versions["transformers"] = transformers.__version__
        except ImportError:
            missing.append("transformers")
        return {"missing": missing, "versions": versions, "idleBytes": peak_bytes()}

    def prepare(self, kind, sizes, folder, shared):
        from operators import OPERATORS
        from video import VIDEO

        prepare = {**OPERATORS, **VIDEO}.get(kind)
        if prepare is None:
            from language import LANGUAGE
            from models import MODELS

            prepare = {**MODELS, **LANGUAGE}[kind]
        self.work = None
        self.work = prepare(sizes=sizes, device=self.device, folder=folder, shared=shared)
        return {"check": self.work.check()}

    def time(self, count):
        self.synchronize()
        start = self.clock()
        for _ in range(count):
            self.work.run()
        self.synchronize()
        return {"seconds": (self.clock() - start) / count}

    def memory(self):
        return {"peakBytes": peak_bytes()}

    def release(self):
        self.work = None
        return {}

    def synchronize(self):
        if self.device.startswith("cuda"):
            self.torch.cuda.synchronize()


worker = Worker()
for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = getattr(worker, request.pop("do"))(**request)
    except Exception as error:  # whatever goes wrong is the parent's to show
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), file=answers, flush=True)
