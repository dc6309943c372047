#include "progress_watch.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace plexus::cli {

namespace json = boost::json;

namespace {

constexpr auto least_time_for_a_rate = std::chrono::milliseconds(500);
constexpr int longest_bar = 30;
constexpr int columns_of_figures = 64;

}  // namespace

void ProgressWatch::push(std::string_view piece)
{
    buffer_ += piece;
    for (auto end = buffer_.find('\n'); end != std::string::npos; end = buffer_.find('\n')) {
        take(std::string_view(buffer_).substr(0, end));
        buffer_.erase(0, end + 1);
    }
}

Outcome<json::value> ProgressWatch::result(std::string_view field) const
{
    if (failure_) {
        return std::unexpected(*failure_);
    }
    auto const* object = last_.if_object();
    auto const* value = object == nullptr ? nullptr : object->if_contains(field);
    if (value == nullptr) {
        return failed(ExitCode::network, "device_lost", "The daemon broke the work off.", "", "plexus doctor");
    }
    return *value;
}

void ProgressWatch::take(std::string_view line)
{
    auto code = boost::system::error_code{};
    auto const event = json::parse(line, code);
    if (code || !event.is_object()) {
        return;
    }
    auto const& type = event.at("type").as_string();
    if (context_.options.json) {
        context_.terminal.line(line);
    }
    if (type == "progress") {
        show(event);
    } else if (type == "done") {
        last_ = event;
    } else if (type == "error") {
        auto reply = Reply{.status = event.at("status").to_number<int>(), .headers = {}, .body = std::string(line)};
        failure_ = failure_of(reply);
    }
}

void ProgressWatch::show(json::value const& event)
{
    auto const stage = std::string(std::string_view(event.at("stage").as_string()));
    auto const done = event.at("done_bytes").to_number<std::uint64_t>();
    auto const total = std::max<std::uint64_t>(event.at("total_bytes").to_number<std::uint64_t>(), 1);
    if (stage != stage_) {
        stage_ = stage;
        last_tenth_ = 0;
        first_done_ = done;
        began_ = context_.env.now();
    }
    if (context_.terminal.shows_progress()) {
        context_.terminal.progress(bar(stage, done, total));
        return;
    }
    auto const percent = done * 100 / total;
    if (percent / 10 != last_tenth_) {
        last_tenth_ = percent / 10;
        context_.terminal.say(fmt::format("{} {}%", stage, percent));
    }
}

/// "fetching [=====     ]  50%  250.0 MB of 500.0 MB  12.0 MB/s  0:21 left"
std::string ProgressWatch::bar(std::string const& stage, std::uint64_t done, std::uint64_t total)
{
    auto text = fmt::format("{:>3}%  {} of {}", done * 100 / total, size_text(done), size_text(total));
    auto const passed = context_.env.now() - began_;
    auto const rate = static_cast<double>(done - std::min(done, first_done_)) /
                      std::chrono::duration<double>(passed).count();
    if (passed >= least_time_for_a_rate && rate > 0) {
        auto const left = static_cast<std::int64_t>(static_cast<double>(total - std::min(done, total)) / rate + 0.5);
        text += fmt::format("  {}/s  {} left", size_text(static_cast<std::uint64_t>(rate)), duration_text(left));
    }
    auto const width = std::min(longest_bar, context_.terminal.columns() - columns_of_figures);
    if (width < 5) {
        return fmt::format("{} {}", stage, text);
    }
    auto const filled = static_cast<std::size_t>(static_cast<double>(width) * static_cast<double>(done) /
                                                 static_cast<double>(total));
    auto const whole = std::string(std::min<std::size_t>(filled, width), '=');
    return fmt::format("{} [{:<{}}] {}", stage, whole, width, text);
}

Task<Outcome<json::value>> follow_work(Context& context, std::string target, json::value body, std::string field)
{
    auto watch = ProgressWatch(context);
    auto piece = [&watch](std::string_view bytes) { watch.push(bytes); };
    auto const reply = co_await context.client.stream(std::move(target), json::serialize(body), {}, piece);
    context.terminal.clear_progress();
    if (!reply) {
        co_return std::unexpected(reply.error());
    }
    co_return watch.result(field);
}

}  // namespace plexus::cli
