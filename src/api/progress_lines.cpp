#include "api/progress_lines.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

namespace plexus::api {

namespace json = boost::json;

namespace {

using namespace asio::experimental::awaitable_operators;

constexpr auto progress_interval = std::chrono::milliseconds(100);

std::string line_of(json::object const& object)
{
    return json::serialize(object) + "\n";
}

class ProgressLines {
public:
    ProgressLines(RouteContext& context, WorkWithProgress work)
        : context_(context), work_(std::move(work)), changed_(context.env.executor())
    {
    }

    Task<int> run()
    {
        auto head = with_common_headers({200, {{"content-type", "application/jsonl"}}, ""});
        if (!co_await context_.exchange.start(std::move(head))) {
            co_return 200;
        }
        co_await (do_work() && tell());
        std::ignore = co_await context_.exchange.finish();
        co_return 200;
    }

private:
    Task<> do_work()
    {
        auto note = [this](ImportProgress progress) {
            progress_ = std::move(progress);
            changed_.notify();
        };
        result_ = co_await work_(std::move(note));
        changed_.notify();
    }

    Task<> tell()
    {
        while (!result_) {
            co_await changed_.wait();
            if (auto progress = std::exchange(progress_, std::nullopt); progress && !result_) {
                std::ignore = co_await context_.exchange.write(progress_line(*progress));
                co_await sleep_for(context_.env, progress_interval);
            }
        }
        std::ignore = co_await context_.exchange.write(last_line());
    }

    static std::string progress_line(ImportProgress const& progress)
    {
        auto line = json::object{{"type", "progress"},
                                 {"stage", progress.stage},
                                 {"done_bytes", progress.done_bytes},
                                 {"total_bytes", progress.total_bytes}};
        if (!progress.sources.empty()) {
            line["sources"] = json::array(progress.sources.begin(), progress.sources.end());
        }
        return line_of(line);
    }

    std::string last_line() const
    {
        if (!result_->has_value()) {
            auto const problem = problem_from(result_->error());
            return line_of(
                {{"type", "error"}, {"code", problem.code}, {"status", problem.status}, {"detail", problem.text}});
        }
        auto line = json::object{{"type", "done"}};
        for (auto const& [key, value] : **result_) {
            line.insert_or_assign(key, value);
        }
        return line_of(line);
    }

    RouteContext& context_;
    WorkWithProgress work_;
    std::optional<ImportProgress> progress_;
    std::optional<Result<json::object>> result_;
    Signal changed_;
};

}  // namespace

Task<int> answer_with_progress(RouteContext& context, WorkWithProgress work)
{
    auto lines = ProgressLines(context, std::move(work));
    co_return co_await lines.run();
}

}  // namespace plexus::api
