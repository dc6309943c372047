#include "node/engine_sandbox.h"

#include "base/log.h"
#include "base/text.h"
#include "stream/engine_protocol.h"

namespace plexus::node {

namespace {

constexpr auto test_limit = std::chrono::seconds(10);
constexpr std::size_t longest_reason = 4096;

/// What an engine under test says, which is one frame.
Task<Result<stream::EngineFrame>> first_frame(ByteStream& channel)
{
    auto decoder = stream::EngineFrameDecoder(stream::max_from_engine);
    auto buffer = Bytes(4096);
    for (;;) {
        auto const count = co_await channel.read_some(buffer);
        if (!count || *count == 0) {
            co_return fail(ErrorKind::closed, "the engine ended before it had proven its walls");
        }
        decoder.push(ByteView(buffer).first(*count));
        auto frame = decoder.next();
        if (!frame) {
            co_return std::unexpected(frame.error());
        }
        if (*frame) {
            co_return std::move(**frame);
        }
    }
}

Result<sandbox::Report> report_of(stream::EngineFrame const& frame)
{
    if (frame.type == stream::EngineFrameType::walls) {
        return sandbox::parse_report(as_text(frame.payload));
    }
    return fail(ErrorKind::not_allowed, "{}", printable_utf8(as_text(frame.payload), longest_reason));
}

}  // namespace

EngineSandbox::EngineSandbox(Env& env, std::filesystem::path program, std::vector<std::string> forbidden_paths)
    : env_(env), program_(std::move(program)), forbidden_paths_(std::move(forbidden_paths)), tasks_(env.executor())
{
}

void EngineSandbox::start()
{
    tasks_.spawn("test the sandbox", test_once());
}

Task<> EngineSandbox::stop()
{
    co_await tasks_.join();
}

Task<> EngineSandbox::test_once()
{
    auto const report = co_await test();
    if (!report) {
        log::warning("no engine can run here", {{"reason", report.error().text}});
    }
}

Task<Result<sandbox::Report>> EngineSandbox::test()
{
    auto options = ProcessOptions{};
    options.program = program_;
    options.arguments = {"--probe", "only"};
    options.forbidden_paths = forbidden_paths_;
    auto process = env_.processes().start(std::move(options));
    if (!process) {
        last_ = std::unexpected(process.error());
        co_return *last_;
    }
    auto const deadline = env_.deadline_in(test_limit);
    auto const frame = co_await with_deadline(env_, deadline, first_frame((*process)->channel()));
    auto report = frame ? report_of(*frame) : Result<sandbox::Report>(std::unexpected(frame.error()));
    if (report) {
        take(*report);
    } else {
        last_ = report;
    }
    co_return report;
}

void EngineSandbox::take(sandbox::Report report)
{
    auto const is_news = !last_ || !*last_ || (*last_)->missing != report.missing;
    if (is_news && report.grade() == sandbox::Grade::weak) {
        log::warning("engines run without walls that this system refuses", {{"missing", names_of(report.missing)}});
    }
    last_ = std::move(report);
}

std::string names_of(std::vector<sandbox::Layer> const& layers)
{
    auto text = std::string{};
    for (auto const layer : layers) {
        text += fmt::format("{}{}", text.empty() ? "" : ", ", to_string(layer));
    }
    return text;
}

}  // namespace plexus::node
