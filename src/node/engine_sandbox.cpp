#include "node/engine_sandbox.h"

#include "base/log.h"
#include "base/text.h"
#include "node/engine_question.h"

namespace plexus::node {

namespace {

constexpr std::size_t longest_reason = 4096;

Result<sandbox::Report> report_of(stream::EngineFrame const& frame, bool with_gpu)
{
    if (frame.type == stream::EngineFrameType::walls) {
        return sandbox::parse_report(as_text(frame.payload), with_gpu);
    }
    return fail(ErrorKind::not_allowed, "{}", printable_utf8(as_text(frame.payload), longest_reason));
}

}  // namespace

EngineSandbox::EngineSandbox(Env& env, std::filesystem::path program, std::vector<std::string> forbidden_paths,
                             std::function<Task<std::string>()> gpu)
    : env_(env), program_(std::move(program)), forbidden_paths_(std::move(forbidden_paths)), gpu_(std::move(gpu)),
      tasks_(env.executor())
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
    auto const gpu = co_await gpu_();
    if (!gpu.empty()) {
        options.arguments.insert(options.arguments.end(), {"--gpu", gpu});
    }
    auto const frame = co_await ask_engine(env_, std::move(options));
    auto report = frame ? report_of(*frame, !gpu.empty()) : Result<sandbox::Report>(std::unexpected(frame.error()));
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

}  // namespace plexus::node
