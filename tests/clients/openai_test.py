"""The official OpenAI client for Python against a running device. Run by clients_test.py."""
import json
import os
import unittest

import openai

QUESTION = {"model": "tiny", "temperature": 0, "max_tokens": 32,
            "messages": [{"role": "user", "content": "Name three colours"}]}

CITIES = ["Paris", "Oslo"]
WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "The weather of a city", "strict": True,
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": CITIES}}, "required": ["city"],
                   "additionalProperties": False}}}


def client(key: str = os.environ["OPENAI_API_KEY"]) -> openai.OpenAI:
    return openai.OpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=key, max_retries=0)


class Client(unittest.TestCase):
    def setUp(self):
        self.client = client()
        self.addCleanup(self.client.close)

    def test_lists_models(self):
        self.assertLessEqual({"tiny", "tools"}, {model.id for model in self.client.models.list()})
        self.assertEqual(self.client.models.retrieve("tiny").object, "model")

    def test_chats(self):
        answer = self.client.chat.completions.create(**QUESTION)

        self.assertTrue(answer.choices[0].message.content)
        self.assertEqual(answer.model, "tiny")
        self.assertIn(answer.choices[0].finish_reason, ("stop", "length"))
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)

    def test_streams_what_it_chats(self):
        whole = self.client.chat.completions.create(**QUESTION)
        stream = list(self.client.chat.completions.create(**QUESTION, stream=True, stream_options={"include_usage": True}))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)

        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(stream[-1].usage.completion_tokens, whole.usage.completion_tokens)

    def test_calls_a_tool_and_takes_its_result(self):
        asked = [{"role": "user", "content": "What is the weather in Paris?"}]
        question = QUESTION | {"model": "caller", "max_tokens": 96, "messages": asked, "tools": [WEATHER]}
        chosen = {"type": "function", "function": {"name": "weather"}}
        choice = self.client.chat.completions.create(**question, tool_choice=chosen).choices[0]
        (call,) = choice.message.tool_calls
        with self.client.chat.completions.stream(**question, tool_choice="required") as stream:
            (streamed,) = stream.get_final_completion().choices[0].message.tool_calls

        self.assertEqual((choice.finish_reason, call.function.name), ("tool_calls", "weather"))
        self.assertIn(json.loads(call.function.arguments)["city"], CITIES)
        self.assertEqual((streamed.function.name, streamed.function.arguments), (call.function.name, call.function.arguments))
        told = [*asked, choice.message, {"role": "tool", "tool_call_id": call.id, "content": "Sunny, 21 degrees"}]
        answer = self.client.chat.completions.create(**question | {"messages": told})
        self.assertTrue(answer.choices[0].message.content)
        self.assertFalse(answer.choices[0].message.tool_calls)

    def test_keeps_to_a_schema(self):
        schema = {"type": "object", "properties": {"colour": {"enum": ["red", "green"]}}, "required": ["colour"]}
        answer = self.client.chat.completions.create(**QUESTION | {
            "max_tokens": 64,
            "response_format": {"type": "json_schema", "json_schema": {"name": "choice", "schema": schema}}})

        self.assertIn(json.loads(answer.choices[0].message.content)["colour"], ("red", "green"))

    def test_responds_and_goes_on(self):
        first = self.client.responses.create(model="tiny", input="Name a colour", max_output_tokens=8, temperature=0)
        second = self.client.responses.create(model="tiny", input="Why?", previous_response_id=first.id, max_output_tokens=8)

        self.assertTrue(first.output_text)
        self.assertGreater(second.usage.input_tokens, first.usage.input_tokens)
        self.assertEqual(self.client.responses.retrieve(first.id).output_text, first.output_text)
        self.client.responses.delete(first.id)
        with self.assertRaises(openai.NotFoundError):
            self.client.responses.retrieve(first.id)

    def test_streams_responses(self):
        with self.client.responses.stream(model="tiny", input="Name a colour", max_output_tokens=8, temperature=0) as stream:
            events = list(stream)
            final = events[-1].response  # completed, or incomplete when cut off

        self.assertEqual([event.sequence_number for event in events if hasattr(event, "sequence_number")],
                         list(range(len(events))))
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        self.assertEqual(final.output_text, text)

    def test_completes_text(self):
        answer = self.client.completions.create(model="tiny", prompt="One, two,", max_tokens=4, temperature=0)
        stream = self.client.completions.create(model="tiny", prompt="One, two,", max_tokens=4, temperature=0, stream=True)

        self.assertEqual("".join(chunk.choices[0].text for chunk in stream), answer.choices[0].text)

    def test_raises_typed_errors(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.chat.completions.create(**QUESTION | {"model": "nope"})
        self.assertEqual(caught.exception.code, "model_not_found")
        with self.assertRaises(openai.BadRequestError):
            self.client.chat.completions.create(**QUESTION | {"temperature": "hot"})
        with client("wrong") as stranger, self.assertRaises(openai.AuthenticationError):
            stranger.models.list()


class AsynchronousClient(unittest.IsolatedAsyncioTestCase):
    async def test_streams(self):
        async with openai.AsyncOpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"],
                                      max_retries=0) as asking:
            text = ""
            async for chunk in await asking.chat.completions.create(**QUESTION, stream=True):
                text += chunk.choices[0].delta.content or "" if chunk.choices else ""

        self.assertTrue(text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
