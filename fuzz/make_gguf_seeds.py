#!/usr/bin/env python3
"""Makes the smallest loadable model of every architecture that the GGUF checker vouches for.

    fuzz/make_gguf_seeds.py FUZZ_GGUF_AGAINST_GGML FOLDER [ARCHITECTURE...]

llama.cpp itself says what is missing: a key, a tensor, a shape. Each round adds that one thing until the model loads.
Needed after a new pin of llama.cpp, or a new architecture in src/models/gguf_architecture.cpp.
"""
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
U32, I32, F32, BOOL, TEXT, ARRAY = 4, 5, 6, 7, 8, 9
SIZES = {0: "B", 1: "b", 2: "H", 3: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", 10: "Q", 11: "q", 12: "d"}
TYPES = {"u8": 0, "u32": U32, "i32": I32, "f32": F32, "bool": BOOL, "str": TEXT, "arr": ARRAY, "u64": 10}
WIDTH, LAYERS, MAX_ROUNDS, MAX_BYTES = 16, 2, 400, 64 * 1024
TOKENS = ["<unk>", "<s>", "</s>", "<0x0A>", "a", "b", "ab", "[MASK]"]

# Where the first guess, 8, will not do.
KEYS = {
    "context_length": 64, "embedding_length": WIDTH, "block_count": LAYERS, "feed_forward_length": 16,
    "attention.head_count": 2, "attention.head_count_kv": 2, "expert_count": 4, "expert_used_count": 2,
    "expert_feed_forward_length": 16, "expert_shared_feed_forward_length": 16, "leading_dense_block_count": 1,
    "expert_gating_func": 1, "attention.sliding_window": 16, "ssm.conv_kernel": 4, "ssm.inner_size": 2 * WIDTH,
    "ssm.state_size": 16, "ssm.time_step_rank": 4, "ssm.group_count": 1, "shortconv.l_cache": 3, "pooling_type": 1,
    "attention.key_length_mla": 24, "attention.value_length_mla": 8, "rope.dimension_count": 8, "attention.key_length": 8,
    "attention.value_length": 8, "interleave_moe_layer_step": 1, "nextn_predict_layers": 0, "expert_shared_count": 1,
    "moe_every_n_layers": 2, "attention.kv_lora_rank": 8, "full_attention_interval": 2, "attention.shared_kv_layers": 0,
    "altup.num_inputs": 4, "altup.active_idx": 0, "attention.group_norm_groups": 1,
}
PER_ARCHITECTURE = {
    "lfm2": {"attention.head_count_kv": [0, 2]}, "lfm2moe": {"attention.head_count_kv": [0, 2]},
    "granitehybrid": {"attention.head_count_kv": [0, 2]}, "nemotron_h": {"attention.head_count_kv": [0, 2], "feed_forward_length": [0, 0]},
    "deepseek2": {"rope.dimension_count": 8, "attention.head_count_kv": 1, "attention.key_length": 16, "attention.value_length": 8, "attention.key_length_mla": 16, "attention.value_length_mla": 8, "attention.q_lora_rank": 0},
    "gemma-embedding": {"block_count": 6}, "llama4": {"block_count": 4},
    "dots1": {"expert_gating_func": 1}, "minimax-m2": {"expert_gating_func": 1},
    "qwen2vl": {"rope.dimension_sections": [2, 1, 1, 0]}, "qwen3vl": {"rope.dimension_sections": [2, 1, 1, 0]},
    "qwen3vlmoe": {"rope.dimension_sections": [2, 1, 1, 0]}, "qwen35": {"rope.dimension_sections": [2, 1, 1, 0]},
    "qwen35moe": {"rope.dimension_sections": [2, 1, 1, 0]}, "falcon": {"attention.head_count_kv": 1},
}
SHAPES = {}  # of tensors that were asked for, as a first guess for the next architecture


class Model:
    def __init__(self, architecture: str):
        self.architecture = architecture
        self.values = {}
        self.tensors = {"token_embd.weight": [1]}
        self.set("general.architecture", TEXT, architecture)
        guesses = KEYS | PER_ARCHITECTURE.get(architecture, {})
        for name in ("context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count",
                     *PER_ARCHITECTURE.get(architecture, {})):
            self.set(f"{architecture}.{name}", U32, guesses[name])
        self.guesses = guesses
        self.set("tokenizer.ggml.model", TEXT, "gpt2")
        self.set("tokenizer.ggml.tokens", TEXT, TOKENS)
        self.set("tokenizer.ggml.merges", TEXT, ["a b"])
        self.set("tokenizer.ggml.token_type", I32, [2, 3, 3, 1, 1, 1, 1, 3])
        self.set("tokenizer.ggml.token_type_count", U32, 2)
        for name, token in (("bos", 1), ("eos", 2), ("seperator", 2), ("unknown", 0)):
            self.set(f"tokenizer.ggml.{name}_token_id", U32, token)

    def set(self, key, kind, value):
        self.values[key] = (kind, value)

    def guess(self, key):
        name = key.removeprefix(self.architecture + ".")
        if re.search(r"epsilon|scale|freq_base|factor|clamp|alpha|beta|bias|_eps|logit|softcap", name):
            return F32, 1.0
        return U32, self.guesses.get(name, 8)

    @staticmethod
    def text(value: str) -> bytes:
        data = value.encode()
        return struct.pack("<Q", len(data)) + data

    def write(self) -> bytes:
        out = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.values))
        for key, (kind, value) in self.values.items():
            one = (lambda item: self.text(item)) if kind == TEXT else (lambda item, kind=kind: struct.pack("<" + SIZES[kind], item))
            if isinstance(value, list):
                data = struct.pack("<IIQ", ARRAY, kind, len(value)) + b"".join(map(one, value))
            else:
                data = struct.pack("<I", kind) + one(value)
            out += self.text(key) + data
        end = 0
        for name, shape in self.tensors.items():
            out += self.text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
            out += struct.pack("<IQ", 0, end)
            size = 4
            for dimension in shape:
                size *= dimension
            end += (size + 31) // 32 * 32
        return out + bytes(-len(out) % 32 + end)


def improve(model: Model, log: str):
    """Adds what the log asks for; nothing if it loads, else what could not be answered."""
    if "refused: the model uses" in log:
        for name in ("expert_count", "expert_used_count"):
            model.set(f"{model.architecture}.{name}", U32, KEYS[name])
    elif found := re.search(r"refused: (\S+) must be twice the width", log):
        model.set(found[1], U32, 2 * WIDTH)
    elif found := re.search(r"key not found in model: (\S+)", log):
        model.set(found[1], *model.guess(found[1]))
    elif found := re.search(r"array key not found in model: (\S+)", log):
        model.set(found[1], U32, [8] * LAYERS)
    elif found := re.search(r"key (\S+) has wrong type (\S+) but expected type (\S+)", log):
        kind = TYPES[found[3]]
        value = {TEXT: "none", F32: 1.0, BOOL: 0}.get(kind, model.guess(found[1])[1])
        model.set(found[1], U32 if kind == ARRAY else kind, [8] * LAYERS if kind == ARRAY else value)
    elif found := re.search(r"key (\S+) has wrong array length; expected (\d+)", log):
        kind, value = model.values[found[1]]
        model.set(found[1], kind, (value * 8)[:int(found[2])])
    elif found := re.search(r"tensor '([^']+)' has wrong shape; expected ([\d, ]+), got", log):
        shape = [int(number) for number in found[2].split(",")]
        if model.tensors.get(found[1]) == shape or 0 in shape:
            return f"{found[1]} of shape {shape}"
        model.tensors[found[1]] = SHAPES[re.sub(r"\d+", "", found[1])] = shape
    elif found := re.search(r"(?:missing )?tensor '([^']+)'(?: not found)?", log):
        if found[1] in model.tensors:
            return log[-300:]
        model.tensors[found[1]] = SHAPES.get(re.sub(r"\d+", "", found[1]), [1])
    else:
        return log[-600:]
    return ""


def complete(program: str, architecture: str, folder: pathlib.Path) -> str:
    model = Model(architecture)
    problem = ""
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(MAX_ROUNDS):
            data = model.write()
            pathlib.Path(file.name).write_bytes(data)
            run = subprocess.run([program, file.name], capture_output=True, text=True, errors="replace",
                                 env=os.environ | {"PLEXUS_FUZZ_LOG": "1", "ASAN_OPTIONS": "detect_leaks=0"})
            log = "\n".join(line for line in run.stderr.splitlines() if re.search(r"error|Error|ASSERT|refused|SUMMARY|llama_model_load:|\.cpp:", line))
            if run.returncode != 0:
                problem = f"the program ended: {log[-600:]}"
                (folder / f"ended-{architecture}").write_bytes(data)
                break
            if "refused: " not in log and "error loading model" not in log:
                if len(data) > MAX_BYTES:
                    return f"{len(data)} bytes are too many"
                (folder / architecture).write_bytes(data)
                return ""
            if problem := improve(model, log):
                break
        else:
            problem = "too many rounds"
    return problem


def main() -> None:
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    folder.mkdir(exist_ok=True)
    source = (ROOT / "src/models/gguf_architecture.cpp").read_text()
    for architecture in sys.argv[3:] or re.findall(r'Architecture\{"([^"]+)"', source):
        problem = complete(program, architecture, folder)
        print(f"{architecture}: {problem or 'made'}", flush=True)


if __name__ == "__main__":
    main()
