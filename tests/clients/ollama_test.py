"""Ollama's official client for Python against a running device. Run by clients_test.py."""
import json
import os
import unittest

import ollama

OPTIONS = {"temperature": 0, "num_predict": 12}
QUESTION = {"model": "tiny", "options": OPTIONS, "messages": [{"role": "user", "content": "Name three colours"}]}
SCHEMA = {"type": "object", "properties": {"colour": {"enum": ["red", "green"]}}, "required": ["colour"]}


def weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: the city
    """
    return f"Sunny in {city}"


class Client(unittest.TestCase):
    def setUp(self):
        self.client = ollama.Client()  # takes OLLAMA_HOST and OLLAMA_API_KEY by itself
        self.addCleanup(self.client.close)

    def test_lists_and_shows_models(self):
        self.assertIn("tiny:latest", [model.model for model in self.client.list().models])
        self.assertEqual(self.client.show("tiny").details.format, "gguf")
        self.client.generate("tiny", keep_alive="5m")
        self.assertIn("tiny:latest", [model.model for model in self.client.ps().models])

    def test_chats_and_streams_what_it_chats(self):
        whole = self.client.chat(**QUESTION)
        parts = list(self.client.chat(**QUESTION, stream=True))

        self.assertTrue(whole.message.content)
        self.assertEqual("".join(part.message.content for part in parts), whole.message.content)
        self.assertEqual(parts[-1].eval_count, whole.eval_count)
        self.assertTrue(parts[-1].done)

    def test_generates(self):
        self.assertTrue(self.client.generate("tiny", "Name three colours", options=OPTIONS).response)

    def test_takes_tools_and_their_results(self):
        asked = QUESTION["messages"]
        called = {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Paris"}}}]}
        told = [*asked, called, {"role": "tool", "tool_name": "weather", "content": weather("Paris")}]
        few = {"model": "tools", "tools": [weather], "options": {"num_predict": 4}}

        first = self.client.chat(messages=asked, **few).prompt_eval_count
        self.assertGreater(self.client.chat(messages=told, **few).prompt_eval_count, first)

    def test_answers_in_the_form_of_a_schema(self):
        answer = self.client.chat(**QUESTION | {"options": {"temperature": 0, "num_predict": 40}}, format=SCHEMA)

        self.assertIn(json.loads(answer.message.content)["colour"], ("red", "green"))

    def test_embeds(self):
        embeddings = self.client.embed(os.environ["EMBEDDING_MODEL"], ["red", "green"]).embeddings

        self.assertEqual(len(embeddings), 2)
        self.assertEqual(len(embeddings[0]), len(embeddings[1]))

    def test_raises_errors(self):
        with self.assertRaises(ollama.ResponseError) as caught:
            self.client.chat(**QUESTION | {"model": "nope"})
        self.assertEqual(caught.exception.status_code, 404)
        with self.assertRaises(ollama.ResponseError):
            self.client.pull("tiny")


if __name__ == "__main__":
    unittest.main(verbosity=2)
