#include "api/api_testing.h"

#include <charconv>

namespace plexus::api::testing {

Step chunk(std::string text)
{
    return {.event = {AnswerEvent::Kind::chunk, std::move(text), {}}};
}

Step content(std::string_view text)
{
    return chunk(fmt::format(
        R"({{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"tiny","choices":[{{"index":0,"delta":{{"content":"{}"}},"finish_reason":null}}]}})",
        text));
}

Step calling(std::string_view fields)
{
    return chunk(
        fmt::format(R"({{"choices":[{{"index":0,"delta":{{"tool_calls":[{{{}}}]}},"finish_reason":null}}]}})", fields));
}

Step reasoning(std::string_view text)
{
    return chunk(fmt::format(R"({{"choices":[{{"index":0,"delta":{{"reasoning_content":"{}"}}}}]}})", text));
}

Step ending(std::string_view finish_reason)
{
    return chunk(fmt::format(R"({{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{}"}}]}})", finish_reason));
}

Step usage()
{
    return chunk(
        R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"tiny","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}})");
}

Step finished()
{
    return {.event = {AnswerEvent::Kind::finished, "", {}}};
}

Step routed(std::string name)
{
    return {.event = {AnswerEvent::Kind::routed, "", {std::move(name), "abcd"}}};
}

Step pause(Duration duration)
{
    return {.kind = Step::Kind::wait, .wait = duration};
}

Step failure(ErrorKind kind, std::string text)
{
    return {.kind = Step::Kind::error, .error = {kind, std::move(text)}};
}

namespace {

class ScriptedAnswer final : public Answer {
public:
    ScriptedAnswer(Env& env, ScriptedAnswers& owner, std::vector<Step> steps)
        : env_(env), owner_(owner), steps_(std::move(steps))
    {
        auto const place = owner.tasks.size() - 1;
        if (place >= 1 && place <= owner.further_steps.size()) {
            steps_ = owner.further_steps[place - 1];
        }
        ++owner_.running;
    }

    ~ScriptedAnswer() override
    {
        --owner_.running;
        if (place_ < steps_.size()) {
            owner_.cancelled_at = env_.now();
        }
    }

    Task<Result<AnswerEvent>> next() override
    {
        struct Call {
            ScriptedAnswers& owner;
            bool is_whole = false;
            ~Call() { owner.broken_off += is_whole ? 0 : 1; }
        } call{owner_};
        while (place_ < steps_.size() && steps_[place_].kind == Step::Kind::wait) {
            co_await sleep_for(env_, steps_[place_].wait);
            ++place_;
        }
        call.is_whole = true;
        if (place_ >= steps_.size()) {
            co_return AnswerEvent{};
        }
        auto const step = steps_[place_++];
        if (step.kind == Step::Kind::error) {
            co_return std::unexpected(step.error);
        }
        co_return step.event;
    }

private:
    Env& env_;
    ScriptedAnswers& owner_;
    std::vector<Step> steps_;
    std::size_t place_ = 0;
};

}  // namespace

Task<Result<std::unique_ptr<Answer>>> ScriptedAnswers::start(InferenceTask task)
{
    auto const own = steps_of.find(task.kind);
    tasks.push_back(std::move(task));
    if (refusal) {
        co_return std::unexpected(*refusal);
    }
    co_return std::make_unique<ScriptedAnswer>(env_, *this, own == steps_of.end() ? steps : own->second);
}

Task<Result<ModelView>> ScriptedServices::import_file(std::string path, std::string name,
                                                      std::function<void(ImportProgress)> progress)
{
    ++changes;
    progress({"copying", 5, 10});
    if (path.ends_with(".txt")) {
        co_return fail(ErrorKind::malformed, "{} is not a GGUF file", path);
    }
    models.push_back({.id = std::move(name), .digest = "beef", .size_bytes = 10});
    co_return models.back();
}

Task<Result<EngineView>> ScriptedServices::load(std::string name)
{
    if (load_refusal) {
        co_return std::unexpected(*load_refusal);
    }
    if (auto const found = std::ranges::find(loaded, name, &EngineView::model); found != loaded.end()) {
        co_return *found;
    }
    loaded.push_back(
        {.model = std::move(name), .context = 2048, .slots = 2, .predicted_bytes = 500, .used_bytes = 450});
    co_return loaded.back();
}

Result<EngineView> ScriptedServices::unload(std::string name)
{
    auto const found = std::ranges::find(loaded, name, &EngineView::model);
    if (found == loaded.end()) {
        return fail(ErrorKind::not_found, "{} is not in memory", name);
    }
    auto engine = std::move(*found);
    loaded.erase(found);
    return engine;
}

Task<Result<ExternalEngineView>> ScriptedServices::add_external_engine(ExternalEngineOrder order)
{
    ++changes;
    external.push_back({.url = std::move(order.url), .token_file = std::move(order.token_file), .is_there = true});
    co_return external.back();
}

Task<Result<ExternalEngineView>> ScriptedServices::test_external_engine(std::string url)
{
    auto const found = std::ranges::find(external, url, &ExternalEngineView::url);
    if (found == external.end()) {
        co_return fail(ErrorKind::not_found, "no engine {}", url);
    }
    co_return *found;
}

Result<ExternalEngineView> ScriptedServices::remove_external_engine(std::string url)
{
    ++changes;
    auto const found = std::ranges::find(external, url, &ExternalEngineView::url);
    if (found == external.end()) {
        return fail(ErrorKind::not_found, "no engine {}", url);
    }
    auto const removed = *found;
    external.erase(found);
    return removed;
}

Result<void> ScriptedServices::pin(std::string name, bool pinned)
{
    for (auto& engine : loaded) {
        engine.is_pinned = engine.model == name ? pinned : engine.is_pinned;
    }
    return {};
}

Task<Result<void>> ScriptedServices::set_draft(std::string name, std::string draft)
{
    if (draft == "stranger") {
        co_return fail(ErrorKind::malformed, "{} has another vocabulary", draft);
    }
    for (auto& engine : loaded) {
        engine.draft = engine.model == name ? draft : engine.draft;
    }
    co_return Result<void>{};
}

Task<Result<ModelView>> ScriptedServices::copy(CopyOrder order, ProgressReport progress)
{
    progress({.stage = "copying", .done_bytes = 5, .total_bytes = 10, .sources = {"desk", "nas"}});
    if (order.from == "toaster") {
        co_return fail(ErrorKind::not_found, "there is no device {}", order.from);
    }
    models.push_back({.id = order.model, .digest = "beef", .size_bytes = 10});
    co_return models.back();
}

Task<Result<ModelView>> ScriptedServices::remove(std::string name)
{
    ++changes;
    for (auto each = models.begin(); each != models.end(); ++each) {
        if (each->id == name) {
            auto removed = std::move(*each);
            models.erase(each);
            co_return removed;
        }
    }
    co_return fail(ErrorKind::not_found, "there is no model {}", name);
}

Task<Result<ModelView>> ScriptedServices::pull(PullOrder order, ProgressReport progress)
{
    ++changes;
    progress({"fetching", 5, 10});
    if (order.source == "nowhere") {
        co_return fail(ErrorKind::not_found, "the list has no model {}", order.source);
    }
    models.push_back({.id = order.name.empty() ? order.source : order.name, .digest = order.sha256, .size_bytes = 10});
    co_return models.back();
}

Task<Result<ModelView>> ScriptedServices::verify(std::string name, ProgressReport progress)
{
    progress({"checking", 5, 10});
    auto const found = std::ranges::find(models, name, &ModelView::id);
    co_return found != models.end() ? Result<ModelView>(*found) : fail(ErrorKind::malformed, "{} was changed", name);
}

Task<Result<ModelDetails>> ScriptedServices::details(std::string name)
{
    auto const found = std::ranges::find(models, name, &ModelView::id);
    if (found == models.end()) {
        co_return fail(ErrorKind::not_found, "there is no model {}", name);
    }
    co_return ModelDetails{.model = *found, .license = "MIT", .abilities = {"chat"}};
}

std::vector<SuggestionView> ScriptedServices::suggestions() const
{
    return {{.name = "small", .kind = "chat", .size_bytes = 10, .devices = {{"laptop", true, "fits"}}}};
}

Result<std::vector<RouteView>> ScriptedServices::routes(RouteQuestion question) const
{
    if (question.model != "tiny") {
        return fail(ErrorKind::not_found, "no device of the mesh has it");
    }
    auto const answer = Duration(std::chrono::milliseconds(question.output_tokens * 10));
    return std::vector<RouteView>{
        {.device = "gaming-pc", .state = "chosen", .reason = "soon", .whole = answer, .answer = answer},
        {.device = "attic", .state = "left out", .reason = "it is away"}};
}

Result<PlanView> ScriptedServices::plan(std::string name, std::uint32_t context, std::uint32_t slots) const
{
    return PlanView{.model = std::move(name), .context = context, .slots = slots, .total_bytes = 7};
}

Task<Result<std::vector<ForeignModelView>>> ScriptedServices::foreign(std::string kind, std::string folder)
{
    co_return std::vector<ForeignModelView>{{.name = kind, .path = folder + "/a.gguf", .size_bytes = 10}};
}

std::vector<DeviceView> ScriptedServices::devices() const
{
    return {{.id = "12D3KooWTest", .name = "laptop", .role = "owner", .state = "ready", .is_self = true}};
}

Result<DeviceView> ScriptedServices::revoke(std::string const& device)
{
    ++changes;
    if (device != "phone") {
        return fail(ErrorKind::not_found, "there is no device {} in the mesh", device);
    }
    return DeviceView{.id = "12D3KooWPhone", .name = "phone", .role = "member", .state = "away"};
}

Task<Result<InviteView>> ScriptedServices::invite(std::string role, Duration lifetime)
{
    ++changes;
    auto const expires = WallTime(std::chrono::duration_cast<std::chrono::milliseconds>(lifetime));
    open_invites.push_back({.id = "i1",
                            .link = "plexus:secret",
                            .code = "482913",
                            .role = std::move(role),
                            .expires = expires,
                            .applicant = {}});
    co_return open_invites.back();
}

Result<void> ScriptedServices::withdraw(std::string const& invite_id)
{
    ++changes;
    return std::erase_if(open_invites, [&](auto const& each) { return each.id == invite_id; }) > 0
               ? Result<void>{}
               : fail(ErrorKind::not_found, "there is no invite {}", invite_id);
}

Result<void> ScriptedServices::decide(std::string const& invite_id, std::string const& device_id, bool lets_in)
{
    ++changes;
    for (auto& invite : open_invites) {
        if (invite.id == invite_id && invite.applicant && invite.applicant->id == device_id) {
            invite.applicant.reset();
            let_in = lets_in;
            return {};
        }
    }
    return fail(ErrorKind::not_found, "that device does not wait any more");
}

Task<Result<JoinView>> ScriptedServices::join(std::string link, Deadline)
{
    ++changes;
    if (link != "plexus:secret" && link != "482913") {
        co_return fail(ErrorKind::not_allowed, "this invite has been used");
    }
    co_return JoinView{"home", "laptop", devices()};
}

StatusView ScriptedServices::status() const
{
    return {.version = "0.1.0",
            .device = "laptop",
            .device_id = "12D3KooWTest",
            .is_ready = is_ready,
            .sandbox = {.grade = "B", .walls = {"root"}, .doors = {"render-nodes"}, .probes = 184},
            .computing = {.backend = "vulkan",
                          .gpu = "A card",
                          .gpus = {{.name = "A card", .kind = "discrete", .memory_bytes = 8'000'000'000}}}};
}

Task<std::vector<CheckView>> ScriptedServices::checks()
{
    co_return std::vector<CheckView>{{"disk", false, "The disk is nearly full.", "Remove a model."}};
}

std::string Reply::header(std::string_view name) const
{
    auto const found = std::ranges::find(headers, name, &Header::name);
    return found == headers.end() ? std::string{} : found->value;
}

namespace {

std::size_t hexadecimal(std::string_view text)
{
    std::size_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value, 16);
    return value;
}

std::string take_chunks(std::string_view& text)
{
    auto body = std::string{};
    while (!text.empty()) {
        auto const end = text.find("\r\n");
        if (end == std::string_view::npos) {
            break;
        }
        auto const size = hexadecimal(text.substr(0, end));
        text.remove_prefix(end + 2);
        body += text.substr(0, size);
        text.remove_prefix(std::min(text.size(), size + 2));
        if (size == 0) {
            break;
        }
    }
    return body;
}

Reply take_reply(std::string_view& text, bool to_head)
{
    auto reply = Reply{};
    auto const end = text.find("\r\n\r\n");
    auto head = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 4);
    std::from_chars(head.data() + 9, head.data() + 12, reply.status);
    for (auto line_end = head.find("\r\n"); line_end != std::string_view::npos; line_end = head.find("\r\n")) {
        head.remove_prefix(line_end + 2);
        auto const line = head.substr(0, head.find("\r\n"));
        auto const colon = line.find(": ");
        reply.headers.push_back({std::string(line.substr(0, colon)), std::string(line.substr(colon + 2))});
    }
    if (reply.status == 100 || to_head) {
        return reply;
    }
    if (reply.header("transfer-encoding") == "chunked") {
        reply.body = take_chunks(text);
    } else if (auto const length = reply.header("content-length"); !length.empty()) {
        auto const size = std::min<std::size_t>(std::stoul(length), text.size());
        reply.body = text.substr(0, size);
        text.remove_prefix(size);
    } else {
        reply.body = std::exchange(text, {});
    }
    return reply;
}

}  // namespace

std::vector<Reply> parse_replies(std::string_view text, bool to_head)
{
    auto replies = std::vector<Reply>{};
    while (text.starts_with("HTTP/1.1 ")) {
        replies.push_back(take_reply(text, to_head));
    }
    return replies;
}

ApiFixture::ApiFixture(std::uint64_t seed, ApiOptions options)
    : world(seed), device(world.add_device("laptop")), answers(device)
{
    world.set_split_share(0.3);
    options.guard.token = token;
    api = std::make_unique<Api>(device, Services{answers, services, services, services}, std::move(options));
    api->serve_on(device.network().listen({device.address(), port}).value(), Door::loopback);
    api->serve_on(device.network().listen({device.address(), ollama_port}).value(), Door::ollama);
    api->serve_on(device.network().listen_local("/run/plexus.sock").value(), Door::local_socket);
}

ApiFixture::~ApiFixture()
{
    world.run(api->stop());
}

namespace {

Task<Result<void>> read_everything(Socket& socket, std::string& received)
{
    auto buffer = Bytes(4096);
    for (;;) {
        auto const count = co_await socket.read_some(buffer);
        if (!count || *count == 0) {
            co_return Result<void>{};
        }
        received += as_text(ByteView(buffer).first(*count));
    }
}

Task<> talk(ApiFixture& fixture, std::string text, Door door, Duration patience, std::string& received)
{
    auto& network = fixture.device.network();
    auto const to = Endpoint{fixture.device.address(), door == Door::ollama ? ollama_port : port};
    auto const deadline = fixture.device.deadline_in(patience);
    auto connected = Result<std::unique_ptr<Socket>>();
    if (door != Door::local_socket) {
        connected = co_await network.connect(to, deadline);
    } else {
        connected = co_await network.connect_local("/run/plexus.sock");
    }
    auto const socket = std::move(connected.value());
    std::ignore = co_await socket->write(as_view(text));
    auto reading = read_everything(*socket, received);
    std::ignore = co_await with_deadline(fixture.device, deadline, std::move(reading));
    socket->reset();
}

}  // namespace

std::string ApiFixture::exchange_raw(std::string text, Door door, Duration patience)
{
    auto received = std::string{};
    world.run(talk(*this, std::move(text), door, patience, received));
    return received;
}

Reply ApiFixture::ask(std::string text, Door door, Duration patience)
{
    auto const to_head = text.starts_with("HEAD ");
    auto replies = parse_replies(exchange_raw(std::move(text), door, patience), to_head);
    return replies.empty() ? Reply{} : replies.back();
}

std::string request(std::string_view method, std::string_view target, std::string_view body)
{
    auto text = fmt::format("{} {} HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n",
                            method, target, port, token);
    if (method == "POST") {
        text += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
    }
    return text + "\r\n" + std::string(body);
}

std::string chat(std::string_view fields)
{
    auto const body = fmt::format(R"({{"model":"tiny","messages":[{{"role":"user","content":"hello"}}]{}{}}})",
                                  fields.empty() ? "" : ",", fields);
    return request("POST", "/v1/chat/completions", body);
}

}  // namespace plexus::api::testing
