"""Training and sampling the same transformer with Hugging Face's transformers, as PyTorch's trainers do."""
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

from hashed_numbers import hashed_tokens

LEARNING_RATE = 1e-5


def load(folder, device):
    """The weights that our side wrote."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").to(device)


class Training:
    """One optimizer update a run; judged by the first gradient's norm."""

    def __init__(self, folder, device):
        self.model = load(folder, device).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=LEARNING_RATE, weight_decay=0, fused=True)

    def start(self):
        self.first_norm = self.run()

    def run(self):
        self.loss().backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.norm = norm.item()
        return self.norm

    def check(self):
        return self.first_norm


class Likelihood(Training):
    """Next-token cross entropy of all tokens but the first."""

    def __init__(self, sizes, device, folder, **_):
        super().__init__(folder, device)
        rows, length, vocabulary = sizes["rows"], sizes["length"], sizes["vocabulary"]
        tokens = torch.stack([hashed_tokens([length + 1], row, vocabulary, device) for row in range(rows)])
        self.inputs, self.targets = tokens[:, :-1].contiguous(), tokens[:, 1:].reshape(-1)
        self.start()

    def loss(self):
        logits = self.model(input_ids=self.inputs, use_cache=False).logits
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), self.targets)


class Update(Training):
    """The plain GRPO update: every answer with its own copy of the prompt, the clipped objective on the answer's tokens."""

    def __init__(self, sizes, device, folder, shared, **_):
        super().__init__(folder, device)
        prompt_length, self.length = sizes["promptLength"], sizes["answerLength"]
        prompt = hashed_tokens([prompt_length], 0, sizes["vocabulary"], device)
        self.answers = torch.tensor(shared["answers"], device=device)
        self.advantages = torch.tensor(shared["advantages"], dtype=torch.float32, device=device)[:, None]
        self.inputs = torch.cat([prompt.expand(len(self.answers), -1), self.answers], 1)
        self.all_logits = sizes["allLogits"]
        self.start()

    def log_probabilities(self):
        if self.all_logits:
            logits = self.model(input_ids=self.inputs, use_cache=False).logits[:, -self.length - 1 : -1]
        else:
            kept = self.length + 1
            logits = self.model(input_ids=self.inputs, use_cache=False, logits_to_keep=kept).logits[:, :-1]
        return F.log_softmax(logits, -1).gather(-1, self.answers[..., None]).squeeze(-1)

    def loss(self):
        log_p = self.log_probabilities()
        ratio = (log_p - log_p.detach()).exp()
        plain = -self.advantages * ratio
        loss = torch.maximum(plain, -self.advantages * ratio.clamp(0.8, 1.2))
        bound = -self.advantages * 3.0
        loss = torch.where(self.advantages < 0, torch.minimum(loss, bound), loss)
        return loss.mean()


class Rollouts:
    """Hugging Face's generate: sampling at temperature 1 from the whole vocabulary."""

    def __init__(self, sizes, device, folder, **_):
        self.model = load(folder, device).eval()
        prompts = [hashed_tokens([sizes["promptLength"]], p, sizes["vocabulary"], device) for p in range(sizes["prompts"])]
        self.inputs = torch.stack(prompts)
        self.mask = torch.ones_like(self.inputs)
        self.group, self.length = sizes["group"], sizes["answerLength"]

    def run(self):
        made = self.model.generate(
            input_ids=self.inputs,
            attention_mask=self.mask,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_return_sequences=self.group,
            min_new_tokens=self.length,
            max_new_tokens=self.length,
            use_cache=True,
            pad_token_id=0,
            eos_token_id=None,
        )
        made.cpu()

    def check(self):
        return None


MODELS = {"likelihood": Likelihood, "update": Update, "rollout": Rollouts}
