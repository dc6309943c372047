#include "request_rules.h"

#include <fmt/format.h>

#include "base64.hpp"
#include "server-common.h"

namespace plexus::engine {

namespace {

constexpr std::string_view progress_mark = R"("prompt_progress":{)";  // in a text its quotes are escaped

bool streams(std::string_view route)
{
    return route == "/v1/chat/completions" || route == "/v1/completions" || route == "/infill";
}

/// Cheap and never wrong in the direction that matters.
bool may_hold_media(std::string_view body)
{
    return body.contains("image_url") || body.contains("video") || body.contains("audio");
}

/// The parts of all contents that are lists: of messages, or of inputs to embed.
std::vector<json> content_parts(json const& body)
{
    auto parts = std::vector<json>{};
    for (auto const* key : {"messages", "input"}) {
        auto const list = json_value(body, key, json::array());
        for (auto const& item : list.is_array() ? list : json::array({list})) {
            auto const content = item.is_object() ? json_value(item, "content", json()) : json();
            for (auto const& part : content.is_array() ? content : json::array()) {
                parts.push_back(part);
            }
        }
    }
    return parts;
}

/// The prompts of a completion or embeddings body: a text, tokens, or a list of those.
std::vector<json> prompts_of(json const& body)
{
    auto const& prompt = body.contains("prompt") ? body.at("prompt") : body.at("input");
    if (!prompt.is_array() || json_is_array_and_contains_numbers(prompt)) {
        return {prompt};
    }
    auto prompts = std::vector<json>{};
    for (auto const& each : prompt) {
        prompts.push_back(each);
    }
    return prompts;
}

/// A transcription in the form that llama.cpp reads from HTML forms: all fields are texts, the sound is a file.
std::map<std::string, uploaded_file> take_sound(json& body)
{
    auto const sound = base64::decode(body.at("file").get<std::string>());
    body.erase("file");
    body["stream"] = "false";
    for (auto const* key : {"temperature", "max_tokens"}) {
        if (body.contains(key) && body.at(key).is_number()) {
            body[key] = body.at(key).dump();
        }
    }
    auto file = uploaded_file{};
    file.data.assign(sound.begin(), sound.end());
    return {{"file", std::move(file)}};
}

}  // namespace

RequestRules::RequestRules(server_routes const& routes, server_context_meta const& meta, int infill_batch)
    : tokenize_(routes.post_tokenize), count_chat_(routes.post_chat_completions_tok), sees_(meta.has_inp_image),
      hears_(meta.has_inp_audio), context_(meta.slot_n_ctx), infill_batch_(infill_batch)
{
}

std::shared_ptr<server_http_req> RequestRules::admit(std::string const& route, std::string text,
                                                     std::function<bool()> const& should_stop) const
{
    auto request = std::make_shared<server_http_req>(
        server_http_req{{}, {}, route, "", std::move(text), {}, should_stop});
    auto const takes_sound = route == "/v1/audio/transcriptions";
    if (!streams(route) && !takes_sound && !may_hold_media(request->body)) {
        return request;
    }
    auto body = json::parse(request->body);
    if (!body.is_object()) {
        throw std::invalid_argument("the body is no JSON object");
    }
    check_media(body);
    if (route == "/infill") {
        check_infill(body, should_stop);
    }
    if (streams(route)) {
        body["stream"] = true;
        body["return_progress"] = true;  // what llama.cpp tells wakes its waiting threads, which then see a cancel
    } else if (takes_sound) {
        if (!hears_) {
            throw std::invalid_argument("the model does not hear: it takes no sound");
        }
        request->files = take_sound(body);
    }
    request->body = body.dump();
    return request;
}

bool RequestRules::is_progress(std::string_view part)
{
    return part.contains(progress_mark);
}

void RequestRules::check_media(json const& body) const
{
    for (auto const& part : content_parts(body)) {
        auto const type = part.is_object() ? json_value(part, "type", std::string()) : std::string();
        if (type.empty() || type == "text") {
            continue;
        }
        auto const is_image = type == "image_url";
        if (is_image ? !sees_ : !hears_) {
            throw std::invalid_argument(is_image ? "the model does not see: it takes no images"
                                                 : "the model takes no content of the type " + type.substr(0, 32));
        }
        auto const source = json_value(part, type, json::object());
        auto const address = json_value(source, "url", json_value(source, "data", std::string()));
        if (address.starts_with("http") || address.starts_with("file:")) {
            throw std::invalid_argument("images and sound must be data URLs: nothing is loaded from an address");
        }
    }
}

std::size_t RequestRules::tokens_in(json const& text, bool add_special, std::function<bool()> const& should_stop) const
{
    auto const body = json{{"content", text}, {"add_special", add_special}}.dump();
    auto const asked = server_http_req{{}, {}, "/tokenize", "", body, {}, should_stop};
    return json::parse(tokenize_(asked)->data).at("tokens").size();
}

/// llama.cpp takes the last three quarters of a batch of the prefix and the first quarter of the suffix. More is refused.
void RequestRules::check_infill(json const& body, std::function<bool()> const& should_stop) const
{
    constexpr auto marks = 2;
    auto const check = [&](char const* key, std::size_t most) {
        auto const text = json_value(body, key, std::string());
        auto const tokens = text.size() > most ? tokens_in(text, false, should_stop)
                                               : 0;  // a token has a byte at least
        if (tokens > most) {
            throw std::length_error(fmt::format("the {} has {} tokens, the context holds {} of it", key, tokens, most));
        }
        return text.size();
    };
    auto const quarter = static_cast<std::size_t>(infill_batch_ / 4);
    auto const prompt_bytes = check("prompt", quarter / 2);
    check("input_prefix", 3 * quarter);
    check("input_suffix", quarter - marks - (prompt_bytes > 0 ? quarter / 2 : 0));
}

server_http_res_ptr RequestRules::count(server_http_req const& request) const
{
    auto const body = json::parse(request.body);
    auto tokens = std::size_t{0};
    if (body.contains("messages")) {
        tokens = json::parse(count_chat_(request)->data).at("input_tokens").get<std::size_t>();
    } else {
        for (auto const& prompt : prompts_of(body)) {
            tokens = std::max(tokens, tokens_in(prompt, true, request.should_stop));
        }
    }
    auto answer = std::make_unique<server_http_res>();
    answer->data = json{{"tokens", tokens}, {"context", context_}}.dump();
    return answer;
}

json RequestRules::with_both_numbers(json error) const
{
    auto tokens = 0;
    auto const message = json_value(error, "message", std::string());
    if (std::sscanf(message.c_str(), "input (%d tokens) is too large", &tokens) == 1) {
        error = {{"code", 400}, {"message", message}, {"type", "exceed_context_size_error"}};
        error["n_prompt_tokens"] = tokens;
        error["n_ctx"] = context_;
    }
    return error;
}

}  // namespace plexus::engine
