#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include "api/base64.h"
#include "api/multipart.h"
#include "api/openai_testing.h"
#include "api/transcription_request.h"

using namespace plexus;
using namespace plexus::api;
using namespace plexus::api::testing;

namespace json = boost::json;

namespace {

std::string field(std::string_view name, std::string_view value)
{
    return fmt::format("--edge\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n{}\r\n", name, value);
}

std::string file(std::string_view value)
{
    return fmt::format(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n"
        "Content-Type: audio/wav\r\n\r\n{}\r\n",
        value);
}

std::string form_request(std::string_view fields)
{
    auto const body = fmt::format("{}--edge--\r\n", fields);
    return fmt::format(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {}\r\n"
        "Connection: close\r\nContent-Type: multipart/form-data; boundary=edge\r\nContent-Length: {}\r\n\r\n{}",
        port, token, body.size(), body);
}

}  // namespace

TEST_CASE("transcriptions: the sound goes to the engine as base64, the words come back")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {chunk(R"({"text":"hello","usage":{"total_tokens":3}})"), finished()};
    auto const sound = std::string("RIFF\0\r\n--edg\xff", 13);

    auto const reply = fixture.ask(form_request(field("model", "tiny") + file(sound) + field("language", "en")));

    CHECK(reply.status == 200);
    CHECK(body_of(reply).at("text") == "hello");
    CHECK(body_of(reply).at_pointer("/usage/total_tokens") == 3);
    auto const& task = fixture.answers.tasks.at(0);
    CHECK(task.kind == TaskKind::transcription);
    CHECK(task.model == "tiny");
    CHECK(from_base64(std::string(json::parse(task.body).at("file").as_string())) == sound);
    CHECK(json::parse(task.body).at("language") == "en");
}

TEST_CASE("transcriptions: as text, and as a stream")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {chunk(R"({"te)"), chunk(R"(xt":"hello"})"), finished()};
    auto const fields = field("model", "tiny") + file("sound");

    auto const text = fixture.ask(form_request(fields + field("response_format", "text")));
    auto const stream = fixture.ask(form_request(fields + field("stream", "true")));

    CHECK(text.header("content-type") == "text/plain; charset=utf-8");
    CHECK(text.body == "hello\n");
    auto const events = events_of(stream);
    REQUIRE(events.size() == 2);
    CHECK(json::parse(events[0]).at("delta") == "hello");
    CHECK(json::parse(events[1]).at("type") == "transcript.text.done");
}

TEST_CASE("transcriptions: a model that cannot hear is a 400 with a sentence, so is a wrong form")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {failure(ErrorKind::malformed, "The current model does not support audio input.")};
    auto const refused = [&](std::string_view fields, std::string_view param) {
        auto const reply = fixture.ask(form_request(fields));
        CHECK_MESSAGE(reply.status == 400, fields);
        CHECK_MESSAGE(body_of(reply).at_pointer("/error/param") == json::value(param), fields);
    };

    auto const deaf = fixture.ask(form_request(field("model", "tiny") + file("sound")));
    CHECK(deaf.status == 400);
    CHECK(body_of(deaf).at_pointer("/error/message") == "The current model does not support audio input.");
    refused(file("sound"), "model");
    refused(field("model", "tiny"), "file");
    refused(field("model", "tiny") + file(""), "file");
    refused(field("model", "tiny") + file(std::string(max_sound_bytes + 1, 'x')), "file");
    refused(field("model", "tiny") + file("x") + field("response_format", "srt"), "response_format");
    refused(field("model", "tiny") + file("x") + field("temperature", "hot"), "temperature");
    refused(field("model", "tiny") + file("x") + field("temperature", "nan"), "temperature");
    refused(field("model", "tiny") + file("x") + field("prompt", "\xff"), "prompt");
    CHECK(fixture.answers.tasks.size() == 1);
}

TEST_CASE("form: the boundary is read from the content type")
{
    CHECK(form_boundary("multipart/form-data; boundary=abc") == "abc");
    CHECK(form_boundary("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"") == "a b");
    CHECK(!form_boundary("multipart/form-data"));
    CHECK(!form_boundary("multipart/form-database; boundary=abc"));
    CHECK(!form_boundary("multipart/form-data; boundary="));
    CHECK(!form_boundary("multipart/form-data; boundary=\"abc"));
    CHECK(!form_boundary("multipart/form-data; boundary=" + std::string(71, 'x')));
    CHECK(!form_boundary("application/json; boundary=abc"));
}

TEST_CASE("form: names may be quoted with escapes or bare, a preamble and an epilogue are no parts")
{
    auto const text = std::string(
        "preamble\r\n--e\r\nX-A: b\r\ncontent-disposition: form-data; name=\"a\\\"b\"\r\n\r\none\r\n"
        "--e \r\nContent-Disposition: form-data; filename=\"x;y\"; name=bare\r\n\r\n\r\n--e--epilogue");

    auto const parts = parse_form(text, "e").value();

    REQUIRE(parts.size() == 2);
    CHECK(parts[0].name == "a\"b");
    CHECK(parts[0].body == "one");
    CHECK(parts[1].name == "bare");
    CHECK(parts[1].file_name == "x;y");
    CHECK(parts[1].body.empty());
}

TEST_CASE("form: what is broken off or over a limit is refused")
{
    auto const kind = [](std::string_view text) { return parse_form(text, "e").error().kind; };
    auto const part = std::string("\r\n--e\r\nContent-Disposition: form-data; name=a\r\n\r\nx");

    CHECK(kind("") == ErrorKind::malformed);
    CHECK(kind("--f\r\n") == ErrorKind::malformed);
    CHECK(kind("--e") == ErrorKind::malformed);
    CHECK(kind("--e\r\nContent-Disposition: form-data; name=a\r\n\r\nx") == ErrorKind::malformed);
    CHECK(kind("--e\r\nContent-Disposition: form-data; name=a\r\n--e--") == ErrorKind::malformed);
    CHECK(kind("--e\r\n\r\nx\r\n--e--") == ErrorKind::malformed);
    CHECK(kind("--e\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx\r\n--e--") == ErrorKind::malformed);
    CHECK(kind("--e\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--e--") == ErrorKind::malformed);
    CHECK(kind("--e\r\nX: " + std::string(max_part_head_bytes, 'x') + "\r\n\r\nx\r\n--e--") == ErrorKind::too_large);
    auto many = std::string{};
    for (std::size_t count = 0; count <= max_form_parts; ++count) {
        many += part;
    }
    CHECK(kind(many + "\r\n--e--") == ErrorKind::too_large);
}
