#!/usr/bin/env python3
"""What a draft model wins or loses: the same questions to the same model with one and without, in turns, equal texts.

    bench/api/draft.py --programs build/release/bin [--rounds 3] [--tokens 96] [--threads 2] [--deep 4]

The default model is the only one at hand, so the pairs are made of it. "deep": so many times its layers, of which the further
ones add nothing, with the default model guessing: every guess is right at a part of the cost, which is the most that a draft
can win. "small": the default model with its own first 12 layers guessing: hardly a guess is right. "twin": with itself
guessing. Prints one JSON line a measurement, then a Markdown table.
"""
import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/libp2p"), str(ROOT / "tests/integration")]
import peers
import ways

QUESTIONS = ("Write a long story about a lighthouse keeper.", "Explain how a river is made, step by step.")


def ask(device, question: str, tokens: int) -> dict:
    engine = next(each for each in device.json("model", "ps")["engines"])["process"]
    before = ways.scheduled_seconds(engine)
    status, content = device.curl("/v1/chat/completions", {"model": "model", "temperature": 0, "max_tokens": tokens,
                                                           "messages": [{"role": "user", "content": question}]})
    assert status == 200, content
    spent = ways.scheduled_seconds(engine) - before
    answer = json.loads(content)
    timings = answer["timings"]
    return {"text": answer["choices"][0]["message"]["content"], "tokens_per_second": timings["predicted_per_second"],
            "processor_milliseconds": 1e3 * spent / timings["predicted_n"],
            "guessed": timings.get("draft_n", 0), "right": timings.get("draft_n_accepted", 0)}


def measure(pair: str, model: pathlib.Path, draft: pathlib.Path, arguments) -> str:
    import mesh_testing
    settings = {"PLEXUS_ENGINE_SLOTS": "1", "PLEXUS_ENGINE_THREADS": str(arguments.threads)}
    found: dict[str, list] = {"without": [], "with": []}
    with mesh_testing.devices(*found, settings=settings) as made:
        for device in made:
            device.start()
            device.plexus("model", "import", str(model), "--name", "model")
            device.plexus("model", "import", str(draft), "--name", "draft")
            device.plexus("model", "load", "model")
        made[1].plexus("model", "draft", "model", "draft")
        for number, device in peers.there_and_back(made, arguments.rounds + 1):
            for question in QUESTIONS:
                answer = ask(device, question, arguments.tokens)
                print(json.dumps({"pair": pair, "round": number, "way": device.name, "load": os.getloadavg()[0], **answer}),
                      flush=True)
                if number > 0:
                    found[device.name].append(answer)
    assert [one["text"] for one in found["with"]] == [one["text"] for one in found["without"]], "the answers differ"

    def middle(way: str, what: str) -> float:
        return statistics.median(one[what] for one in found[way])

    ratio = statistics.median(one["tokens_per_second"] / other["tokens_per_second"]
                              for one, other in zip(found["with"], found["without"]))
    right = sum(one["right"] for one in found["with"]) / max(1, sum(one["guessed"] for one in found["with"]))
    return (f"| {pair} | {middle('without', 'tokens_per_second'):.1f} | {middle('with', 'tokens_per_second'):.1f} | {ratio:.2f} | "
            f"{middle('without', 'processor_milliseconds'):.1f} | {middle('with', 'processor_milliseconds'):.1f} | {right:.0%} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--deep", type=int, default=4)
    arguments = parser.parse_args()
    model = pathlib.Path(ways.output(ROOT / "tools/fetch", "--print", "default-model"))
    os.environ |= {"PLEXUS_PROGRAMS": str(pathlib.Path(arguments.programs).resolve()), "PLEXUS_DEFAULT_MODEL": str(model)}
    import draft_models

    with tempfile.TemporaryDirectory(prefix="plexus-bench-") as folder:
        deep, small, twin = (pathlib.Path(folder) / f"{name}.gguf" for name in ("deep", "small", "twin"))
        draft_models.write_deep(deep, arguments.deep)
        draft_models.write_small(small, 12)
        draft_models.write_twin(twin)
        rows = [measure(f"deep x {arguments.deep}", deep, model, arguments), measure("small", model, small, arguments),
                measure("twin", model, twin, arguments)]
    print("\n| pair | tokens/s without | with | ratio | CPU ms/token without | with | guesses right |\n|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
