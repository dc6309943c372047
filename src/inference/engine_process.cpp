#include "inference/engine_process.h"

#include <boost/json.hpp>

#include "base/checked.h"
#include "base/log.h"
#include "base/text.h"
#include "inference/chat_events.h"

namespace plexus::inference {

using stream::EngineFrameType;

namespace {

constexpr std::size_t max_reason_bytes = 4096;
constexpr std::size_t max_name_bytes = 128;

/// What an engine says, as people may see it.
std::string reason_of(ByteView payload)
{
    return printable_utf8(as_text(payload), max_reason_bytes);
}

boost::json::object object_of(ByteView payload)
{
    auto code = boost::system::error_code{};
    auto json = boost::json::parse(as_text(payload), code);
    return code || !json.is_object() ? boost::json::object{} : std::move(json.get_object());
}

template <typename Number>
Number number_in(boost::json::object const& object, std::string_view name)
{
    auto const* value = object.if_contains(name);
    return value != nullptr && value->is_int64() ? checked_cast<Number>(value->get_int64()).value_or(0) : 0;
}

std::string text_in(boost::json::object const& object, std::string_view name)
{
    auto const* value = object.if_contains(name);
    return value != nullptr && value->is_string() ? printable_utf8(value->get_string(), max_name_bytes) : std::string{};
}

}  // namespace

/// The engine's answer to one request, filled by the read loop, drained by its owner.
class EngineProcess::Answer final : public Generation {
public:
    Answer(std::shared_ptr<EngineProcess> engine, std::uint32_t id, TaskKind kind)
        : engine_(std::move(engine)), id_(id), kind_(kind), changed_(engine_->env_.executor())
    {
    }

    ~Answer() override
    {
        if (!complete_ && !engine_->ended_) {
            engine_->send(EngineFrameType::cancel, id_, {});
        }
        engine_->forget(id_);
    }

    Task<Result<std::optional<Part>>> next() override
    {
        while (chunks_.empty() && !complete_) {
            co_await changed_.wait();
        }
        if (!chunks_.empty()) {
            auto chunk = std::move(chunks_.front());
            chunks_.pop_front();
            unread_ -= size_of(chunk);
            co_return std::optional(std::move(chunk));
        }
        if (failure_) {
            co_return std::unexpected(*failure_);
        }
        co_return std::optional<Part>{};
    }

    Timings const& timings() const override { return timings_; }

    void take_head(ByteView payload)
    {
        if (payload.size() < 4) {
            fail_with({ErrorKind::closed, "the engine sent what is no answer"});
            return;
        }
        auto const status = load_little_endian<std::uint32_t>(payload.data());
        if (status != 200) {
            fail_with(error_of_status(status, as_text(payload.subspan(4))));
        }
    }

    void take_chunk(ByteView bytes)
    {
        if (complete_) {
            return;
        }
        if (is_streamed(kind_)) {
            take_events(bytes);
        } else {
            take_part(bytes);
        }
        changed_.notify();
    }

    void finish()
    {
        if (!std::exchange(complete_, true)) {
            engine_->drafted_tokens_ += timings_.drafted_tokens;
            engine_->accepted_tokens_ += timings_.accepted_tokens;
        }
        changed_.notify();
    }

    void fail_with(Error error)
    {
        if (!complete_) {
            failure_ = std::move(error);
            finish();
        }
    }

private:
    void take_events(ByteView bytes)
    {
        for (auto& event : parser_.push(as_text(bytes))) {
            if (auto failed = error_of_event(event.data)) {
                fail_with(std::move(*failed));
                return;
            }
            auto tokens = tokens_of_id(event.id);
            if (!tokens) {
                give_up({ErrorKind::closed, tokens.error().text});
                return;
            }
            read_timings(event.data, timings_);
            keep({std::move(event.data), std::move(*tokens)});
        }
        if (unread_ + parser_.held() > max_unread_bytes) {
            give_up({ErrorKind::unavailable, "the answer was not read fast enough"});
        }
    }

    void take_part(ByteView bytes)
    {
        document_bytes_ += bytes.size();
        if (document_bytes_ > max_document_bytes) {
            chunks_.clear();
            give_up({ErrorKind::too_large,
                     fmt::format("the answer has more than {} bytes; ask for less at a time", max_document_bytes)});
            return;
        }
        keep({.text = std::string(as_text(bytes))});
    }

    static std::size_t size_of(Part const& part)
    {
        return part.text.size() + part.tokens.size() * sizeof(part.tokens.front()) + event_overhead;
    }

    void keep(Part part)
    {
        unread_ += size_of(part);
        chunks_.push_back(std::move(part));
    }

    void give_up(Error error)
    {
        engine_->send(EngineFrameType::cancel, id_, {});
        fail_with(std::move(error));
    }

    std::shared_ptr<EngineProcess> engine_;
    std::uint32_t id_;
    TaskKind kind_;
    EventParser parser_;
    std::deque<Part> chunks_;
    std::size_t unread_ = 0;
    std::size_t document_bytes_ = 0;
    bool complete_ = false;
    std::optional<Error> failure_;
    Timings timings_;
    Signal changed_;
};

EngineProcess::EngineProcess(Env& env, std::unique_ptr<Process> process, EngineStart start,
                             std::function<void()> changed)
    : env_(env), process_(std::move(process)), start_(std::move(start)), changed_(std::move(changed)),
      last_heard_(env.now()), last_used_(env.now()), wake_(env.executor()), state_changed_(env.executor()),
      tasks_(env.executor())
{
}

EngineProcess::~EngineProcess() = default;

Task<> EngineProcess::run()
{
    auto const self = shared_from_this();
    tasks_.spawn("read from engine", read_loop());
    tasks_.spawn("write to engine", write_loop());
    tasks_.spawn("watch engine", watch_loop());
    auto const status = co_await process_->wait();
    log::debug("engine ended", {{"process", process_->id()}, {"status", status}});
    finish();
    co_await tasks_.join();
}

void EngineProcess::finish()
{
    if (std::exchange(ended_, true)) {
        return;
    }
    process_->kill();
    auto const answers = answers_;
    for (auto const& [id, answer] : answers) {
        answer->fail_with({ErrorKind::closed, "the engine ended unexpectedly"});
    }
    if (!loaded_) {
        loaded_ = fail(ErrorKind::closed, "the engine ended while it loaded the model");
    }
    wake_.notify();
    state_changed_.notify();
    changed_();
}

Task<Result<void>> EngineProcess::load(std::string parameters, Deadline deadline)
{
    send(EngineFrameType::load, 0, as_view(parameters));
    auto wait = [](std::shared_ptr<EngineProcess> self) -> Task<Result<void>> {
        while (!self->loaded_) {
            co_await self->state_changed_.wait();
        }
        co_return *self->loaded_;
    };
    co_return co_await with_deadline(env_, deadline, wait(shared_from_this()));
}

Result<std::unique_ptr<Generation>> EngineProcess::request(TaskKind kind, std::string_view body)
{
    if (ended_) {
        return fail(ErrorKind::closed, "the engine ended unexpectedly");
    }
    if (answers_.size() >= max_requests_per_engine) {
        return fail(ErrorKind::unavailable, "the model has {} requests already", answers_.size());
    }
    auto payload = to_bytes(route_of(kind));
    payload.push_back(std::byte{'\n'});
    append(payload, as_view(body));
    if (payload.size() + stream::engine_frame_header > stream::max_to_engine) {
        return fail(ErrorKind::too_large, "the request has {} bytes", payload.size());
    }
    if (outgoing_bytes_ + payload.size() > max_outgoing_bytes) {
        return fail(ErrorKind::unavailable, "the engine has not taken the requests before this one");
    }
    auto const id = ++last_request_;
    auto answer = std::make_unique<Answer>(shared_from_this(), id, kind);
    answers_.emplace(id, answer.get());
    last_used_ = env_.now();
    send(EngineFrameType::request, id, payload);
    changed_();
    return answer;
}

void EngineProcess::forget(std::uint32_t request)
{
    if (answers_.erase(request) > 0) {
        last_used_ = env_.now();
        if (answers_.empty() && !is_leaving()) {
            send(EngineFrameType::ping, 0, {});  // for what its work took
        }
        changed_();
    }
}

void EngineProcess::send(EngineFrameType type, std::uint32_t request, ByteView payload)
{
    outgoing_.push_back(stream::encode(type, request, payload));
    outgoing_bytes_ += outgoing_.back().size();
    wake_.notify();
}

Task<> EngineProcess::write_loop()
{
    while (!ended_) {
        if (outgoing_.empty()) {
            co_await wake_.wait();
            continue;
        }
        auto const frame = std::move(outgoing_.front());
        outgoing_.pop_front();
        auto const written = co_await process_->channel().write(frame);
        outgoing_bytes_ -= frame.size();
        if (!written) {
            finish();
        }
    }
}

Task<> EngineProcess::read_loop()
{
    auto decoder = stream::EngineFrameDecoder(stream::max_from_engine);
    auto buffer = Bytes(64 * 1024);
    while (!ended_) {
        auto const count = co_await process_->channel().read_some(buffer);
        if (!count || *count == 0) {
            finish();
            break;
        }
        last_heard_ = env_.now();
        decoder.push(ByteView(buffer).first(*count));
        for (;;) {
            auto frame = decoder.next();
            if (!frame) {
                log::warning("engine broke its protocol", {{"reason", frame.error().text}});
                finish();
            }
            if (!frame || !*frame) {
                break;
            }
            take(std::move(**frame));
        }
    }
}

Task<> EngineProcess::watch_loop()
{
    while (!ended_) {
        if (answers_.empty()) {
            co_await wake_.wait();
            last_heard_ = env_.now();
            continue;
        }
        co_await sleep_for(env_, ping_interval);
        auto const silence = answers_.empty() ? Duration::zero() : env_.now() - last_heard_;
        if (silence > silence_limit) {
            log::warning("engine does not answer", {{"process", process_->id()}});
            finish();
            break;
        }
        if (silence >= ping_interval && outgoing_.empty()) {  // an engine that speaks needs no question
            send(EngineFrameType::ping, 0, {});
        }
    }
}

void EngineProcess::take_walls(ByteView payload)
{
    if (auto report = sandbox::parse_report(as_text(payload), !start_.gpu.device.empty())) {
        walls_ = std::move(*report);
    } else {
        log::warning("engine did not prove its walls", {{"reason", report.error().text}});
        loaded_ = fail(ErrorKind::unavailable, "the engine did not prove its walls: {}", report.error().text);
        finish();
    }
}

void EngineProcess::take_ready(ByteView payload)
{
    if (!walls_) {
        loaded_ = fail(ErrorKind::unavailable, "the engine did not prove its walls");
        finish();
        return;
    }
    auto const ready = object_of(payload);
    slots_ = number_in<std::uint32_t>(ready, "slots");
    context_ = number_in<std::uint32_t>(ready, "context");
    unread_file_bytes_ = number_in<std::uint64_t>(ready, "unread_file_bytes");
    memory_.weights = number_in<std::uint64_t>(ready, "loaded_weights_bytes");
    memory_.cache = number_in<std::uint64_t>(ready, "cache_bytes");
    memory_.compute = number_in<std::uint64_t>(ready, "compute_bytes");
    memory_.on_gpu = number_in<std::uint64_t>(ready, "gpu_bytes");
    backend_ = text_in(ready, "backend");
    gpu_ = {.device = text_in(ready, "gpu"), .layers = number_in<std::uint32_t>(ready, "gpu_layers")};
    take_pong(payload);
    loaded_ = Result<void>{};
    state_changed_.notify();
    changed_();
}

void EngineProcess::take_pong(ByteView payload)
{
    auto const resident = number_in<std::uint64_t>(object_of(payload), "resident_bytes");
    memory_.resident = resident - std::min(resident, unread_file_bytes_);
}

void EngineProcess::take(stream::EngineFrame frame)
{
    if (frame.type == EngineFrameType::walls) {
        take_walls(frame.payload);
    } else if (frame.type == EngineFrameType::ready) {
        take_ready(frame.payload);
    } else if (frame.type == EngineFrameType::pong) {
        take_pong(frame.payload);
    } else if (frame.type == EngineFrameType::refused) {
        loaded_ = fail(ErrorKind::unavailable, "the engine refused to start: {}", reason_of(frame.payload));
        state_changed_.notify();
    }
    auto const found = answers_.find(frame.request);
    if (found == answers_.end()) {
        return;
    }
    auto& answer = *found->second;
    switch (frame.type) {
    case EngineFrameType::head: answer.take_head(frame.payload); break;
    case EngineFrameType::chunk: answer.take_chunk(frame.payload); break;
    case EngineFrameType::end: answer.finish(); break;
    case EngineFrameType::failed: answer.fail_with({ErrorKind::unavailable, reason_of(frame.payload)}); break;
    default: break;
    }
}

}  // namespace plexus::inference
