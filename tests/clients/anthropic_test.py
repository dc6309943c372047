"""Anthropic's official client for Python against a running device. Run by clients_test.py."""
import json
import os
import unittest

import anthropic

QUESTION = {"model": "tiny", "max_tokens": 12, "extra_body": {"temperature": 0},
            "messages": [{"role": "user", "content": "Name three colours"}]}
WEATHER = {"name": "weather", "description": "The weather of a city",
           "input_schema": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
                            "required": ["city"]}}


def seen(call: str) -> list:
    """A model as small as this one calls a tool when it has seen how."""
    return [{"role": "assistant", "content": [{"type": "tool_use", "id": call, "name": "weather", "input": {"city": "Rome"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": "Rain"},
                                         {"type": "text", "text": "weather in Rome"}]}]


ASKED = QUESTION | {"model": "tools", "max_tokens": 48, "tools": [WEATHER], "tool_choice": {"type": "any"},
                    "messages": [{"role": "user", "content": "weather in Rome"}, *seen("a"), *seen("b"), *seen("c")]}
SCHEMA = {"type": "object", "properties": {"colour": {"enum": ["red", "green"]}}, "required": ["colour"],
          "additionalProperties": False}


def client(**key: str) -> anthropic.Anthropic:
    key = key or {"api_key": os.environ["ANTHROPIC_API_KEY"]}
    return anthropic.Anthropic(base_url=os.environ["ANTHROPIC_BASE_URL"], max_retries=0, **key)


class Client(unittest.TestCase):
    def setUp(self):
        self.client = client()
        self.addCleanup(self.client.close)

    def test_lists_models(self):
        self.assertIn("tiny", [model.id for model in self.client.models.list()])

    def test_answers(self):
        message = self.client.messages.create(**QUESTION)

        self.assertTrue(message.content[0].text)
        self.assertIn(message.stop_reason, ("end_turn", "max_tokens"))
        self.assertGreater(message.usage.output_tokens, 0)

    def test_streams_what_it_answers(self):
        whole = self.client.messages.create(**QUESTION)
        with self.client.messages.stream(**QUESTION) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()

        self.assertEqual(text, whole.content[0].text)
        self.assertEqual(final.usage.output_tokens, whole.usage.output_tokens)

    def test_calls_a_tool_and_takes_its_result(self):
        message = self.client.messages.create(**ASKED)
        with self.client.messages.stream(**ASKED) as stream:
            streamed = stream.get_final_message()

        self.assertEqual(message.stop_reason, "tool_use")
        call = message.content[-1]
        self.assertIn(call.input["city"], ("Paris", "Rome"))
        self.assertEqual(streamed.content[-1].input, call.input)
        told = [*ASKED["messages"], {"role": "assistant", "content": message.content},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "Sunny"}]}]
        answer = self.client.messages.create(**ASKED | {"messages": told, "max_tokens": 4, "tool_choice": {"type": "none"}})
        self.assertGreater(answer.usage.output_tokens, 0)

    def test_answers_in_the_form_of_a_schema(self):
        message = self.client.messages.create(**QUESTION | {"max_tokens": 40}, output_config={"format": {"type": "json_schema", "schema": SCHEMA}})

        self.assertIn(json.loads(message.content[0].text)["colour"], ("red", "green"))

    def test_counts_tokens(self):
        count = self.client.messages.count_tokens(model="tiny", messages=QUESTION["messages"])

        self.assertGreater(count.input_tokens, 3)

    def test_uses_the_beta_routes(self):
        message = self.client.beta.messages.create(**QUESTION)

        self.assertTrue(message.content[0].text)

    def test_raises_typed_errors(self):
        with self.assertRaises(anthropic.NotFoundError):
            self.client.messages.create(**QUESTION | {"model": "nope"})
        with self.assertRaises(anthropic.BadRequestError):
            self.client.messages.create(**QUESTION | {"extra_body": {"temperature": "hot"}})
        with client(auth_token="wrong") as stranger, self.assertRaises(anthropic.AuthenticationError):
            stranger.messages.create(**QUESTION)
        with client(auth_token=os.environ["ANTHROPIC_API_KEY"]) as bearer:
            self.assertTrue(bearer.messages.create(**QUESTION | {"max_tokens": 2}).content)


if __name__ == "__main__":
    unittest.main(verbosity=2)
