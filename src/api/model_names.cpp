#include "api/model_names.h"

#include <algorithm>

#include <fmt/format.h>

namespace plexus::api {

namespace {

constexpr auto last_second = std::chrono::seconds(253'402'300'799);  // of the year 9999

}  // namespace

std::optional<ModelView> find_model(std::vector<ModelView> const& models, std::string_view name)
{
    auto const found = std::ranges::find_if(models, [&](ModelView const& model) {
        return model.id == name || model.digest == name ||
               std::ranges::find(model.aliases, name) != model.aliases.end();
    });
    return found == models.end() ? std::nullopt : std::optional(*found);
}

WallTime seconds_since_1970(std::uint64_t seconds)
{
    return WallTime(std::chrono::seconds(std::min<std::uint64_t>(seconds, last_second.count())));
}

std::string rfc3339(WallTime time)
{
    time = std::clamp(time, WallTime(), WallTime(last_second));
    auto const day = std::chrono::floor<std::chrono::days>(time);
    auto const date = std::chrono::year_month_day(day);
    auto const clock = std::chrono::hh_mm_ss(time - day);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                       clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

}  // namespace plexus::api
