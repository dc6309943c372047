#include <doctest/doctest.h>

#include <set>

#include <boost/json.hpp>

#include "integration/engine_testing.h"

using namespace plexus;
using namespace plexus::inference;
using namespace std::chrono_literals;

namespace json = boost::json;

namespace {

constexpr auto image =
    "data:image/"
    "png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

json::object chat(std::string_view text)
{
    return {{"messages", json::array{json::object{{"role", "user"}, {"content", text}}}},
            {"temperature", 0},
            {"max_tokens", 16},
            {"stream_options", {{"include_usage", true}}}};
}

json::object with(json::object body, std::string_view key, json::value value)
{
    body[key] = std::move(value);
    return body;
}

json::object chat_with_part(json::object part)
{
    auto body = chat("");
    body["messages"] = json::array{json::object{{"role", "user"}, {"content", json::array{std::move(part)}}}};
    return body;
}

std::string many_words(std::size_t count)
{
    auto text = std::string{};
    for (std::size_t word = 0; word < count; ++word) {
        text += " word";
    }
    return text;
}

/// What the client sees of a streamed chat.
struct Answer {
    std::map<std::int64_t, std::string> texts{};  ///< by choice
    std::map<std::int64_t, std::string> ends{};
    std::vector<json::object> chunks{};
    std::int64_t prompt_tokens = 0;
    std::int64_t cached_tokens = 0;
    std::int64_t completion_tokens = 0;
    std::size_t usages = 0;
};

void take(Answer& answer, json::object chunk)
{
    for (auto const& item : chunk.at("choices").as_array()) {
        auto const& choice = item.as_object();
        auto const index = choice.at("index").as_int64();
        auto const* text = choice.if_contains("text") != nullptr
                               ? choice.if_contains("text")
                               : choice.at("delta").as_object().if_contains("content");
        answer.texts[index] += text != nullptr && text->is_string() ? std::string(text->get_string()) : "";
        if (choice.at("finish_reason").is_string()) {
            answer.ends[index] = choice.at("finish_reason").get_string();
        }
    }
    if (auto const* usage = chunk.if_contains("usage"); usage != nullptr && usage->is_object()) {
        ++answer.usages;
        answer.prompt_tokens = usage->at("prompt_tokens").as_int64();
        answer.completion_tokens += usage->at("completion_tokens").as_int64();
        answer.cached_tokens = usage->at("prompt_tokens_details").at("cached_tokens").as_int64();
    }
    answer.chunks.push_back(std::move(chunk));
}

struct Device : EngineDevice {
    explicit Device(std::uint32_t context = 512) : EngineDevice({.context = context}) {}

    Task<Duration> time_of(json::object body)
    {
        auto const start = env.now();
        std::ignore = (co_await answer(TaskKind::chat, std::move(body))).value();
        co_return env.now() - start;
    }

    Task<Result<Answer>> answer(TaskKind kind, json::object body)
    {
        auto const parts = co_await ask_in_parts(kind, json::serialize(body));
        if (!parts) {
            co_return std::unexpected(parts.error());
        }
        auto whole = Answer{};
        for (auto const& part : *parts) {
            take(whole, json::parse(part).as_object());
        }
        co_return whole;
    }

    Task<Error> refusal(TaskKind kind, json::object body)
    {
        auto const given = co_await answer(kind, std::move(body));
        REQUIRE_FALSE(given);
        co_return given.error();
    }
};

}  // namespace

TEST_CASE("kinds: a chat and a completion stream whether the body says so or not, and report what they took")
{
    auto device = Device{};
    auto task = [&]() -> Task<> {
        auto const plain = (co_await device.answer(TaskKind::chat, chat("Name three colours"))).value();
        auto const streamed =
            (co_await device.answer(TaskKind::chat, with(chat("Name three colours"), "stream", true))).value();
        CHECK(plain.texts == streamed.texts);
        CHECK(plain.chunks.size() > 10);
        CHECK(plain.usages == 1);
        CHECK(plain.ends.at(0) == "length");

        auto const body = json::object{{"prompt", "The capital of France is"}, {"max_tokens", 8}, {"temperature", 0}};
        auto const completion = (co_await device.answer(TaskKind::completion, body)).value();
        CHECK(completion.chunks.at(0).at("object").as_string() == "text_completion");
        CHECK(completion.texts.at(0).contains("Paris"));
        CHECK(completion.completion_tokens == 8);
        for (auto const& chunk : plain.chunks) {
            CHECK_FALSE(chunk.contains("prompt_progress"));
        }
    };
    device.run(task());
}

TEST_CASE("kinds: several choices come side by side, each with its index and its usage")
{
    auto device = Device{};
    auto task = [&]() -> Task<> {
        auto body = with(with(chat("Tell a story"), "n", 2), "temperature", 1.0);
        auto const answer = (co_await device.answer(TaskKind::chat, body)).value();
        CHECK(answer.texts.size() == 2);
        CHECK(answer.ends.size() == 2);
        CHECK(answer.usages == 2);
        CHECK(answer.completion_tokens == 32);

        auto const many = co_await device.refusal(TaskKind::chat, with(chat("Tell a story"), "n", 3));
        CHECK(many.kind == ErrorKind::malformed);
        CHECK(many.text.contains("<= 2"));
    };
    device.run(task());
}

TEST_CASE("kinds: what a prompt takes is counted in one step, as the engine counts it later")
{
    auto device = Device{};
    auto task = [&]() -> Task<> {
        auto const body = chat("How many tokens are these?");
        auto const counted = json::parse((co_await device.ask(TaskKind::tokenize, json::serialize(body))).value());
        auto const answer = (co_await device.answer(TaskKind::chat, body)).value();
        CHECK(counted.at("tokens").as_int64() == answer.prompt_tokens);
        CHECK(counted.at("context").as_int64() == 512);

        auto const completion = json::object{{"prompt", "How many tokens are these?"}, {"max_tokens", 1}};
        auto const count = json::parse((co_await device.ask(TaskKind::tokenize, json::serialize(completion))).value());
        CHECK(count.at("tokens").as_int64() ==
              (co_await device.answer(TaskKind::completion, completion)).value().prompt_tokens);
        CHECK_FALSE(co_await device.ask(TaskKind::tokenize, "{}"));
    };
    device.run(task());
}

TEST_CASE("kinds: a prompt over the context is refused with both numbers by every kind, and never cut")
{
    auto device = Device{};
    auto task = [&]() -> Task<> {
        auto const text = many_words(600);
        auto const body = chat(text);
        auto const count = json::parse((co_await device.ask(TaskKind::tokenize, json::serialize(body))).value());
        auto const tokens = count.at("tokens").as_int64();
        auto const expected = fmt::format("the prompt has {} tokens, the context holds 512", tokens);
        CHECK(tokens > 600);
        CHECK(co_await device.refusal(TaskKind::chat, body) == Error{ErrorKind::too_large, expected});
        auto const completion = co_await device.refusal(TaskKind::completion, {{"prompt", text}});
        CHECK(completion == Error{ErrorKind::too_large, "the prompt has 600 tokens, the context holds 512"});
        auto const infill = co_await device.refusal(TaskKind::infill, {{"input_prefix", text}, {"input_suffix", ""}});
        CHECK(infill == Error{ErrorKind::too_large, "the input_prefix has 600 tokens, the context holds 192 of it"});
    };
    device.run(task());
}

TEST_CASE("kinds: more tokens than the context has left are clamped, and the answer ends for its length")
{
    auto device = Device{};
    auto task = [&]() -> Task<> {
        auto body = with(chat(many_words(440)), "max_tokens", std::numeric_limits<std::int32_t>::max());
        body["ignore_eos"] = true;
        auto const answer = (co_await device.answer(TaskKind::chat, body)).value();
        CHECK(answer.ends.at(0) == "length");
        CHECK(answer.prompt_tokens + answer.completion_tokens <= 512);
        CHECK(answer.prompt_tokens + answer.completion_tokens >= 510);
    };
    device.run(task());
}

TEST_CASE("kinds: likelihoods, biases and forms of JSON work as OpenAI has them")
{
    auto device = Device{};
    auto task = [&]() -> Task<> {
        auto const likely = with(with(chat("Say yes"), "logprobs", true), "top_logprobs", 3);
        auto const answer = (co_await device.answer(TaskKind::chat, likely)).value();
        auto const found = std::ranges::find_if(answer.chunks, [](json::object const& chunk) {
            auto const& choices = chunk.at("choices").as_array();
            return !choices.empty() && choices[0].as_object().contains("logprobs");
        });
        REQUIRE(found != answer.chunks.end());
        auto const& logprobs = found->at("choices").at(0).at("logprobs").at("content").at(0);
        CHECK(logprobs.at("top_logprobs").as_array().size() == 3);

        auto const first = (co_await device.answer(
                                TaskKind::completion,
                                {{"prompt", "one two three"}, {"max_tokens", 1}, {"temperature", 0}}))
                               .value();
        auto const biased = json::object{{"prompt", "one two three"},
                                         {"max_tokens", 1},
                                         {"temperature", 0},
                                         {"logit_bias", {{first.texts.at(0), -100}}}};
        CHECK((co_await device.answer(TaskKind::completion, biased)).value().texts.at(0) != first.texts.at(0));

        auto const schema = json::parse(
            R"({"type":"object","properties":{"colour":{"enum":["red","blue"]}},"required":["colour"]})");
        auto const format = json::object{{"type", "json_schema"}, {"json_schema", {{"name", "c"}, {"schema", schema}}}};
        auto const shaped = (co_await device.answer(
                                 TaskKind::chat,
                                 with(with(chat("A colour?"), "response_format", format), "max_tokens", 64)))
                                .value();
        auto const object = json::parse(shaped.texts.at(0));
        CHECK(std::set<std::string>{"red", "blue"}.contains(std::string(object.at("colour").as_string())));
    };
    device.run(task());
}

TEST_CASE("kinds: what the model or a grammar cannot take is refused in words, and the engine lives on")
{
    struct Case {
        TaskKind kind;
        json::object body;
        std::string_view reason;
    };
    auto const url = [](std::string_view address) {
        return chat_with_part({{"type", "image_url"}, {"image_url", {{"url", address}}}});
    };
    auto const sound = json::object{{"type", "input_audio"}, {"input_audio", {{"data", "AAAA"}, {"format", "wav"}}}};
    auto const schema = json::object{{"type", "json_schema"}, {"json_schema", {{"schema", {{"type", "nonsense"}}}}}};
    auto const cases = std::vector<Case>{
        {TaskKind::chat, url(image), "does not see"},
        {TaskKind::chat, url("http://127.0.0.1:9/a.png"), "does not see"},
        {TaskKind::chat, chat_with_part(sound), "input_audio"},
        {TaskKind::chat, chat_with_part({{"type", "video_url"}, {"video_url", {{"url", "http://x/"}}}}), "video_url"},
        {TaskKind::chat, with(chat("x"), "grammar", "root ::= ("), "grammar"},
        {TaskKind::chat, with(chat("x"), "response_format", schema), "nonsense"},
        {TaskKind::chat, with(chat("x"), "logprobs", "yes"), ""},
        {TaskKind::completion, {{"prompt", 5}}, ""},
        {TaskKind::completion, {}, ""},
        {TaskKind::infill, {{"input_prefix", "a"}, {"input_suffix", "b"}}, "Infill is not supported by this model"},
        {TaskKind::embeddings, {{"input", "a"}}, "does not support embeddings"},
        {TaskKind::rerank, {{"query", "a"}, {"documents", json::array{"b"}}}, "does not support reranking"},
        {TaskKind::transcription, {{"file", "AAAA"}}, "does not hear"},
        {TaskKind::tokenize, {{"messages", 7}}, ""},
    };
    auto device = Device{};
    auto task = [&]() -> Task<> {
        for (auto const& each : cases) {
            auto const error = co_await device.refusal(each.kind, each.body);
            CAPTURE(json::serialize(each.body));
            CAPTURE(error.text);
            CHECK(error.kind == ErrorKind::malformed);
            CHECK(error.text.contains(each.reason));
            CHECK_FALSE(error.text.empty());
        }
        CHECK(co_await device.answer(TaskKind::chat, chat("Are you there?")));
    };
    device.run(task());
}

TEST_CASE("kinds: a prompt that begins as one before is not read twice, whichever slot has it")
{
    auto device = Device{};
    auto task = [&]() -> Task<> {
        auto const first = chat("Here is a list:" + many_words(300));
        auto const second = chat("Another list:" + many_words(200));
        std::ignore = (co_await device.answer(TaskKind::chat, first)).value();
        std::ignore = (co_await device.answer(TaskKind::chat, second)).value();
        for (auto const& body : {first, second, first}) {
            auto const again = (co_await device.answer(TaskKind::chat, body)).value();
            CHECK(again.cached_tokens > again.prompt_tokens - 8);
        }
    };
    device.run(task());
}

TEST_CASE("kinds: giving up while a long prompt is read ends the reading after the batch that is computed")
{
    auto device = Device(2048);
    auto task = [&]() -> Task<> {
        auto const prompt = [](int number) {
            return with(chat(fmt::format("{}{}", number, many_words(1500))), "max_tokens", 1);
        };
        auto const whole = co_await device.time_of(prompt(1));
        for (auto number = 2; number < 4; ++number) {
            auto const answer =
                (co_await device.inference->start({}, TaskKind::chat, json::serialize(prompt(number)), {})).value();
            co_await sleep_for(device.env, whole / 20);
        }

        auto const after = co_await device.time_of(with(chat("Hello"), "max_tokens", 1));

        MESSAGE("a prompt is read in s: " << std::chrono::duration<double>(whole).count()
                                          << ", after giving up two: " << std::chrono::duration<double>(after).count());
        CHECK(after < whole);  // else both were read first
    };
    device.run(task());
}
