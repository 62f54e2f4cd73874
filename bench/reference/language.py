"""Language models with Hugging Face's transformers: the work of ../ours/language.ts, as PyTorch's trainers do it."""
import gc

import torch
from transformers import AutoModelForCausalLM

from hashed_numbers import hashed_tokens
from models import Update, load

CHECKED_TOKENS = 12
# Of 2 bytes in 4 KiB.
NUMBERS_A_PAGE = 2048


class LanguageUpdate(Update):
    """Log-probabilities of the answers before the update, then the update; every answer with its own copy of the prompt."""

    def run(self):
        with torch.no_grad():
            self.old = self.log_probabilities()
        return super().run()


class Generation:
    """Hugging Face's generate: prompts padded on the left, sampling at temperature 1 from the whole vocabulary."""

    def __init__(self, sizes, device, folder, **_):
        self.model = load(folder, device).eval()
        lengths, vocabulary = sizes["lengths"], sizes["vocabulary"]
        longest = max(lengths)
        self.inputs = torch.zeros(len(lengths), longest, dtype=torch.int64, device=device)
        self.mask = torch.zeros_like(self.inputs)
        for p, length in enumerate(lengths):
            self.inputs[p, longest - length :] = hashed_tokens([length], p, vocabulary, device)
            self.mask[p, longest - length :] = 1
        self.group, self.max_tokens, self.ends = sizes["group"], sizes["maxTokens"], list(range(sizes["ends"]))

    def generate(self, max_tokens, **options):
        with torch.no_grad():
            made = self.model.generate(
                input_ids=self.inputs,
                attention_mask=self.mask,
                max_new_tokens=max_tokens,
                use_cache=True,
                # Adds nothing to the sum that is compared.
                pad_token_id=0,
                eos_token_id=self.ends,
                **options,
            )
        return made[:, self.inputs.shape[1] :].cpu()

    def run(self):
        self.generate(
            self.max_tokens, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, num_return_sequences=self.group
        )

    def check(self):
        return self.generate(min(self.max_tokens, CHECKED_TOKENS), do_sample=False).sum().item()


class Loading:
    """from_pretrained in the file's own type. It maps the file, so that every page is read here, as a first use would."""

    def __init__(self, sizes, device, folder, shared, **_):
        self.folder, self.device, self.name = f"{folder}/loading", device, shared["name"]

    def load(self):
        model = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.bfloat16).to(self.device)
        for each in model.parameters():
            each.detach().view(torch.int16).flatten()[::NUMBERS_A_PAGE].sum()
        return model

    def run(self):
        model = self.load()
        del model
        gc.collect()

    def check(self):
        model = self.load()
        compared = dict(model.named_parameters())[self.name].detach().float().square().sum().item()
        del model
        gc.collect()
        return compared


LANGUAGE = {"languageUpdate": LanguageUpdate, "generation": Generation, "loading": Loading}
