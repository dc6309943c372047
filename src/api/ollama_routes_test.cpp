#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include "api/api_testing.h"

using namespace plexus;
using namespace plexus::api;
using namespace plexus::api::testing;

namespace json = boost::json;

namespace {

std::string ask_chat(std::string_view fields = "")
{
    auto const body = fmt::format(R"({{"model":"tiny","messages":[{{"role":"user","content":"hello"}}]{}{}}})",
                                  fields.empty() ? "" : ",", fields);
    return request("POST", "/api/chat", body);
}

/// Every line of a stream, which must all be JSON.
std::vector<json::value> lines_of(Reply const& reply)
{
    auto lines = std::vector<json::value>{};
    auto text = std::string_view(reply.body);
    REQUIRE(text.ends_with('\n'));
    while (!text.empty()) {
        auto const end = text.find('\n');
        lines.push_back(json::parse(text.substr(0, end)));
        text.remove_prefix(end + 1);
    }
    return lines;
}

Step measured()
{
    return chunk(R"({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2},
        "timings":{"prompt_ms":1.5,"predicted_ms":20}})");
}

std::string error_of(Reply const& reply)
{
    return std::string(json::parse(reply.body).at("error").as_string());
}

void add_models(ApiFixture& fixture)
{
    fixture.services.models = {{.id = "tiny",
                                .digest = "beef",
                                .size_bytes = 98,
                                .architecture = "llama",
                                .quantization = "Q4_1",
                                .parameters = 134'515'008,
                                .context_length = 2048,
                                .is_local = true,
                                .loaded_on = {"laptop"}},
                               {.id = "other:7b", .digest = "cafe", .parameters = 7'620'000'000, .is_chat = false}};
}

/// The request as it comes in on the port of Ollama.
std::string at_ollama(std::string text, bool with_token = true)
{
    text.replace(text.find("localhost:7597"), 14, "localhost:11434");
    if (!with_token) {
        text.erase(text.find("Authorization"), text.find("Connection") - text.find("Authorization"));
    }
    return text;
}

}  // namespace

TEST_CASE("ollama: a chat streams lines of JSON, the last with what it took in nanoseconds")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {routed("gaming-pc"), pause(100ms),   reasoning("Hm."), content("Red"),
                             content(" one"),     ending("stop"), measured(),       finished()};

    auto const reply = fixture.ask(ask_chat());

    CHECK(reply.header("content-type") == "application/x-ndjson");
    CHECK(reply.header("plexus-route") == "gaming-pc");
    auto const lines = lines_of(reply);
    REQUIRE(lines.size() == 4);
    CHECK(lines[0].at("model") == "tiny");
    CHECK(lines[0].at("done") == false);
    CHECK(lines[0].at_pointer("/message/thinking") == "Hm.");
    CHECK(lines[1].at_pointer("/message/content") == "Red");
    CHECK(lines[1].at_pointer("/message/role") == "assistant");
    CHECK(lines[3].at("done") == true);
    CHECK(lines[3].at("done_reason") == "stop");
    CHECK(lines[3].at("prompt_eval_count") == 3);
    CHECK(lines[3].at("eval_count") == 2);
    CHECK(lines[3].at("prompt_eval_duration") == 1'500'000);
    CHECK(lines[3].at("eval_duration") == 20'000'000);
    CHECK(lines[3].at("total_duration").as_int64() >= 100'000'000);
    CHECK(lines[3].at("load_duration").as_int64() >= 98'000'000);
}

TEST_CASE("ollama: a chat that is not streamed is one object, calls with arguments as objects")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("I look."),
                             calling(R"("index":0,"id":"c","function":{"name":"find","arguments":"{\"q\":"})"),
                             calling(R"("index":0,"function":{"arguments":"1}"})"), ending("tool_calls"), finished()};

    auto const body = json::parse(fixture.ask(ask_chat(R"("stream":false)")).body);
    auto const lines = lines_of(fixture.ask(ask_chat()));

    CHECK(body.at_pointer("/message/content") == "I look.");
    CHECK(body.at_pointer("/message/tool_calls/0/function/name") == "find");
    CHECK(body.at_pointer("/message/tool_calls/0/function/arguments/q") == 1);
    CHECK(body.at("done") == true);
    REQUIRE(lines.size() == 3);
    CHECK(lines[1].at_pointer("/message/tool_calls/0/function/arguments/q") == 1);
}

TEST_CASE("ollama: silence is filled with lines that add nothing")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {pause(10s), content("Red"), finished()};

    auto const lines = lines_of(fixture.ask(ask_chat()));

    REQUIRE(lines.size() > 2);
    CHECK(lines[0].at_pointer("/message/content") == "");
    CHECK(lines[0].at("done") == false);
}

TEST_CASE("ollama: a failure is an error before the first line and a line after it")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("Red"), failure(ErrorKind::closed, "the device went away")};
    auto const lines = lines_of(fixture.ask(ask_chat()));
    fixture.answers.refusal = Error{ErrorKind::not_found, ""};
    auto const unknown = fixture.ask(ask_chat());

    CHECK(lines.back().at("error") == "the device went away");
    CHECK(unknown.status == 404);
    CHECK(error_of(unknown).find("tiny") != std::string::npos);
}

TEST_CASE("ollama: generate answers with the text alone, raw and infill too")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("Red"), ending("length"), finished()};
    fixture.answers.steps_of[TaskKind::completion] = {
        chunk(R"({"choices":[{"index":0,"text":"raw","finish_reason":"stop"}]})"), finished()};
    fixture.answers.steps_of[TaskKind::infill] = {
        chunk(R"({"content":"mid","stop":false})"),
        chunk(R"({"content":"","stop":true,"stop_type":"limit","tokens_predicted":1,"tokens_evaluated":9})"),
        finished()};
    auto const generate = [&](std::string_view fields) {
        auto const body = fmt::format(R"({{"model":"tiny","prompt":"hello","stream":false{}}})", fields);
        return json::parse(fixture.ask(request("POST", "/api/generate", body)).body);
    };

    auto const plain = generate("");
    auto const infill = generate(R"(,"suffix":"end")");

    CHECK(plain.at("response") == "Red");
    CHECK(plain.at("done_reason") == "length");
    CHECK(generate(R"(,"raw":true)").at("response") == "raw");
    CHECK(infill.at("response") == "mid");
    CHECK(infill.at("done_reason") == "length");
    CHECK(infill.at("prompt_eval_count") == 9);
}

TEST_CASE("ollama: keep_alive goes with the task, and names may end in :latest")
{
    auto fixture = ApiFixture();
    add_models(fixture);
    fixture.answers.steps = {finished()};

    fixture.ask(request("POST", "/api/chat",
                        R"({"model":"tiny:latest","keep_alive":"5m","messages":[{"role":"user","content":"a"}]})"));

    REQUIRE(fixture.answers.tasks.size() == 1);
    CHECK(fixture.answers.tasks[0].model == "tiny");
    CHECK(fixture.answers.tasks[0].keep_alive == Duration(5min));
}

TEST_CASE("ollama: nothing asked loads the model, with no time to stay unloads it")
{
    auto fixture = ApiFixture();
    add_models(fixture);
    fixture.answers.steps = {chunk(R"({"tokens":1,"context":2048})"), finished()};

    auto const loaded = json::parse(fixture.ask(request("POST", "/api/generate", R"({"model":"tiny"})")).body);
    auto const unloaded = json::parse(
        fixture.ask(request("POST", "/api/chat", R"({"model":"tiny","keep_alive":0})")).body);
    auto const not_loaded = fixture.ask(request("POST", "/api/generate", R"({"model":"other:7b","keep_alive":0})"));

    CHECK(loaded.at("done_reason") == "load");
    CHECK(loaded.at("response") == "");
    CHECK(unloaded.at("done_reason") == "unload");
    CHECK(unloaded.at_pointer("/message/content") == "");
    CHECK(not_loaded.status == 200);
    REQUIRE(fixture.answers.tasks.size() == 2);
    CHECK(fixture.answers.tasks[1].keep_alive == Duration::zero());
    CHECK(fixture.ask(request("POST", "/api/generate", R"({"model":"nope"})")).status == 404);
    fixture.services.loaded = {{.model = "tiny", .digest = "beef"}};
    CHECK(fixture.ask(request("POST", "/api/generate", R"({"model":"tiny","keep_alive":0})")).status == 200);
    CHECK(fixture.services.loaded.empty());
    CHECK(fixture.answers.tasks.size() == 2);
}

TEST_CASE("ollama: num_ctx bounds prompt and answer together; more than there is gives a warning")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("Red"), finished()};
    fixture.answers.steps_of[TaskKind::tokenize] = {chunk(R"({"tokens":100,"context":4096})"), finished()};
    auto const length_for = [&](std::string_view options) {
        fixture.ask(ask_chat(fmt::format(R"("options":{})", options)));
        return json::parse(fixture.answers.tasks.back().body).at("max_tokens").as_int64();
    };

    auto const too_long = fixture.ask(ask_chat(R"("options":{"num_ctx":100})"));
    auto const larger = fixture.ask(ask_chat(R"("options":{"num_ctx":8192})"));

    CHECK(length_for(R"({"num_ctx":512})") == 412);
    CHECK(length_for(R"({"num_ctx":512,"num_predict":20})") == 20);
    CHECK(too_long.status == 400);
    CHECK(error_of(too_long) == "the prompt has 100 tokens, num_ctx allows 100 with the answer");
    CHECK(larger.status == 200);
    CHECK(larger.header("plexus-warning") == "num_ctx 8192 was asked for, the context holds 4096");
}

TEST_CASE("ollama: embeddings in both forms, in the order of their inputs, cut to length one if asked")
{
    auto fixture = ApiFixture();
    fixture.answers.steps_of[TaskKind::embeddings] = {
        chunk(R"({"data":[{"index":1,"embedding":[0,1]},{"index":0,"embed)"),
        chunk(R"(ding":[3,4]}],"usage":{"prompt_tokens":6}})"), finished()};
    auto const embed = [&](std::string_view fields) {
        return json::parse(
            fixture.ask(request("POST", "/api/embed", fmt::format(R"({{"model":"tiny",{}}})", fields))).body);
    };

    auto const both = embed(R"("input":["a","b"])");

    CHECK(both.at("embeddings") == json::parse("[[3,4],[0,1]]"));
    CHECK(both.at("prompt_eval_count") == 6);
    CHECK(embed(R"("input":["a","b"],"dimensions":1)").at("embeddings").at_pointer("/0/0") == 1.0);
    CHECK(embed(R"("input":[])").at("embeddings").as_array().empty());
    auto const old = fixture.ask(request("POST", "/api/embeddings", R"({"model":"tiny","prompt":"a"})"));
    CHECK(old.body == R"({"embedding":[3,4]})");
    fixture.answers.steps_of[TaskKind::embeddings] = {chunk(R"({"data":[{"index":9,"embedding":[1]}]})"), finished()};
    CHECK(fixture.ask(request("POST", "/api/embed", R"({"model":"tiny","input":"a"})")).status == 502);
}

TEST_CASE("ollama: models are listed, shown and removed in its shapes")
{
    auto fixture = ApiFixture();
    add_models(fixture);
    fixture.services.loaded = {{.model = "tiny",
                                .digest = "beef",
                                .context = 512,
                                .predicted_bytes = 500,
                                .used_bytes = 450,
                                .leaves_in = 60s}};

    auto const tags = json::parse(fixture.ask(request("GET", "/api/tags")).body);
    auto const loaded = json::parse(fixture.ask(request("GET", "/api/ps")).body);
    auto const shown = json::parse(fixture.ask(request("POST", "/api/show", R"({"model":"tiny"})")).body);

    CHECK(tags.at_pointer("/models/0/name") == "tiny:latest");
    CHECK(tags.at_pointer("/models/1/name") == "other:7b");
    CHECK(tags.at_pointer("/models/0/details/parameter_size") == "134.52M");
    CHECK(tags.at_pointer("/models/1/details/parameter_size") == "7.6B");
    REQUIRE(loaded.at("models").as_array().size() == 1);
    CHECK(loaded.at_pointer("/models/0/model") == "tiny:latest");
    CHECK(loaded.at_pointer("/models/0/context_length") == 512);
    CHECK(loaded.at_pointer("/models/0/size") == 500);
    CHECK(loaded.at_pointer("/models/0/expires_at").as_string() < "2318");
    CHECK(shown.at_pointer("/model_info/llama.context_length") == 2048);
    CHECK(shown.at_pointer("/capabilities/0") == "completion");
    CHECK(shown.at("license") == "MIT");
    CHECK(fixture.ask(request("POST", "/api/show", R"({"model":"nope"})")).status == 404);
    auto const body = std::string(R"({"model":"tiny:latest"})");
    auto removal = request("DELETE", "/api/delete");
    removal.insert(removal.size() - 2,
                   fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size()));
    CHECK(fixture.ask(removal + body).status == 200);
    CHECK(fixture.ask(removal + body).status == 404);
    CHECK(fixture.services.models.size() == 1);
}

TEST_CASE("ollama: a pull tells how far it is, line by line, or only that it is done")
{
    auto fixture = ApiFixture();
    auto const pull = [&](std::string_view body) { return fixture.ask(request("POST", "/api/pull", body)); };

    auto const reply = pull(R"({"model":"small:latest"})");
    auto const lines = lines_of(reply);

    CHECK(reply.header("content-type") == "application/x-ndjson");
    CHECK(lines.back() == json::parse(R"({"status":"success"})"));
    CHECK(fixture.services.models.back().id == "small");
    CHECK(pull(R"({"model":"small","stream":false})").body == R"({"status":"success"})");
    CHECK(lines_of(pull(R"({"model":"nowhere"})")).back().at("error") == "the list has no model nowhere");
    CHECK(pull(R"({"model":"nowhere","stream":false})").status == 404);
    CHECK(pull(R"({"model":"small","stream":7})").status == 400);
}

TEST_CASE("ollama: what cannot be done says so")
{
    auto fixture = ApiFixture();
    add_models(fixture);

    for (auto const* path : {"/api/copy", "/api/create"}) {
        auto const reply = fixture.ask(request("POST", path, R"({"model":"a","from":"tiny"})"));
        CHECK(reply.status == 501);
        CHECK(!error_of(reply).empty());
    }
    CHECK(fixture.ask(request("HEAD", "/api/blobs/sha256:beef")).status == 200);
    CHECK(fixture.ask(request("HEAD", "/api/blobs/sha256:dead")).status == 404);
    auto upload = request("POST", "/api/blobs/sha256:dead", "GGUF");
    upload.replace(upload.find("application/json"), 16, "application/octet-stream");
    CHECK(fixture.ask(upload).status == 501);
}

TEST_CASE("ollama: its own port greets, serves its paths and OpenAI's, and nothing that controls the device")
{
    auto fixture = ApiFixture();
    fixture.answers.steps = {content("Red"), finished()};
    auto const status_of = [&](std::string_view target) {
        return fixture.ask(at_ollama(request("GET", target)), Door::ollama).status;
    };

    CHECK(fixture.ask(at_ollama(request("GET", "/"), false), Door::ollama).body == "Ollama is running");
    CHECK(fixture.ask(at_ollama(request("HEAD", "/"), false), Door::ollama).status == 200);
    CHECK(status_of("/api/version") == 200);
    CHECK(status_of("/v1/models") == 200);
    CHECK(status_of("/api/v1/status") == 404);
    CHECK(status_of("/metrics") == 404);
    CHECK(fixture.ask(at_ollama(request("POST", "/mcp", "{}")), Door::ollama).status == 404);
    CHECK(fixture.ask(at_ollama(ask_chat()), Door::ollama).status == 200);
    CHECK(fixture.ask(request("GET", "/")).status == 404);
    CHECK(error_of(fixture.ask(at_ollama(request("GET", "/nothing")), Door::ollama)) ==
          "There is nothing at this path.");
}

TEST_CASE("ollama: refusals on its paths have its shape")
{
    auto fixture = ApiFixture();
    auto foreign = ask_chat();
    foreign.insert(foreign.find("Connection"), "Origin: http://evil.example\r\n");

    CHECK(!error_of(fixture.ask(foreign)).empty());
    CHECK(fixture.ask(foreign).status == 403);
    CHECK(fixture.ask(at_ollama(request("GET", "/api/tags"), false), Door::ollama).status == 401);
    CHECK(!error_of(fixture.ask(request("GET", "/api/chat"))).empty());
    CHECK(fixture.ask(request("GET", "/api/chat")).status == 405);
    CHECK(!error_of(fixture.ask(request("POST", "/api/chat", "{"))).empty());
    CHECK(fixture.ask(at_ollama(request("GET", "/api/tags")).replace(24, 15, "evil.example:11"), Door::ollama).status !=
          200);
}

TEST_CASE("ollama: without a token its port lets programs ask and read, if the owner wants it so, never change")
{
    auto options = ApiOptions{};
    options.guard.ollama_needs_token = false;
    auto fixture = ApiFixture(1, std::move(options));
    add_models(fixture);
    fixture.answers.steps = {content("Red"), finished()};
    auto const asked = [&](std::string text) {
        return fixture.ask(at_ollama(std::move(text), false), Door::ollama).status;
    };

    CHECK(asked(request("GET", "/api/tags")) == 200);
    CHECK(asked(ask_chat()) == 200);
    CHECK(asked(chat()) == 200);
    CHECK(asked(request("DELETE", "/api/delete")) == 401);
    CHECK(asked(request("POST", "/api/pull", "{}")) == 401);
    CHECK(asked(request("POST", "/api/pul%6c", "{}")) == 401);
    CHECK(asked(request("POST", "/v1/messages", "{}")) == 401);
    auto foreign = ask_chat();
    foreign.insert(foreign.find("Authorization"), "Origin: http://evil.example\r\n");
    CHECK(asked(foreign) == 403);
    auto main_port = ask_chat();
    main_port.erase(main_port.find("Authorization"), main_port.find("Connection") - main_port.find("Authorization"));
    CHECK(fixture.ask(main_port).status == 401);
}
