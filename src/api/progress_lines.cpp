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
    ProgressLines(RouteContext& context, WorkWithProgress work, ProgressForm form)
        : context_(context), work_(std::move(work)), form_(form), changed_(context.env.executor())
    {
    }

    Task<int> run()
    {
        auto head = with_common_headers({200, {{"content-type", std::string(form_.content_type)}}, ""});
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
                std::ignore = co_await context_.exchange.write(line_of(form_.progress(*progress)));
                co_await sleep_for(context_.env, progress_interval);
            }
        }
        std::ignore = co_await context_.exchange.write(last_line());
    }

    std::string last_line() const
    {
        return line_of(result_->has_value() ? form_.done(**result_) : form_.failed(problem_from(result_->error())));
    }

    RouteContext& context_;
    WorkWithProgress work_;
    ProgressForm form_;
    std::optional<ImportProgress> progress_;
    std::optional<Result<json::object>> result_;
    Signal changed_;
};

json::object progress_object(ImportProgress const& progress)
{
    auto line = json::object{{"type", "progress"},
                             {"stage", progress.stage},
                             {"done_bytes", progress.done_bytes},
                             {"total_bytes", progress.total_bytes}};
    if (!progress.sources.empty()) {
        line["sources"] = json::array(progress.sources.begin(), progress.sources.end());
    }
    return line;
}

json::object done_object(json::object const& result)
{
    auto line = json::object{{"type", "done"}};
    for (auto const& [key, value] : result) {
        line.insert_or_assign(key, value);
    }
    return line;
}

json::object failed_object(Problem const& problem)
{
    return {{"type", "error"}, {"code", problem.code}, {"status", problem.status}, {"detail", problem.text}};
}

}  // namespace

Task<int> answer_with_progress(RouteContext& context, WorkWithProgress work, ProgressForm form)
{
    auto lines = ProgressLines(context, std::move(work), form);
    co_return co_await lines.run();
}

Task<int> answer_with_progress(RouteContext& context, WorkWithProgress work)
{
    auto const form = ProgressForm{"application/jsonl", progress_object, done_object, failed_object};
    co_return co_await answer_with_progress(context, std::move(work), form);
}

}  // namespace plexus::api
