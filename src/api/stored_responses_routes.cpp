#include <charconv>

#include <boost/json/serialize.hpp>

#include "api/json_fields.h"
#include "api/routes.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

Problem unknown_response(std::string const& id)
{
    return {.status = 404,
            .code = "not_found",
            .type = "invalid_request_error",
            .text = fmt::format("There is no response '{}' here (any more).", id),
            .param = "",
            .next = ""};
}

struct ListWish {
    std::size_t limit = 20;
    bool is_descending = true;
    std::string after{};
};

constexpr std::size_t max_listed = 100;

Check read_list_wish(std::string_view query, ListWish& wish)
{
    while (!query.empty()) {
        auto const entry = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(query.size(), entry.size() + 1));
        auto const name = entry.substr(0, entry.find('='));
        auto const value = entry.substr(std::min(entry.size(), name.size() + 1));
        if (name == "limit") {
            auto const [end, code] = std::from_chars(value.data(), value.data() + value.size(), wish.limit);
            if (code != std::errc() || end != value.data() + value.size() || wish.limit == 0 ||
                wish.limit > max_listed) {
                return invalid_request("limit", fmt::format("'limit' must be between 1 and {}.", max_listed));
            }
        } else if (name == "order") {
            if (value != "asc" && value != "desc") {
                return invalid_request("order", "'order' must be one of: asc, desc.");
            }
            wish.is_descending = value == "desc";
        } else if (name == "after") {
            wish.after = value;
        }
    }
    return std::nullopt;
}

json::object listed(json::array items, ListWish const& wish)
{
    if (wish.is_descending) {
        std::ranges::reverse(items);
    }
    auto begin = items.begin();
    if (!wish.after.empty()) {
        begin = std::ranges::find_if(items,
                                     [&](auto const& item) { return text_of(item.get_object(), "id") == wish.after; });
        begin += begin == items.end() ? 0 : 1;
    }
    auto const left = static_cast<std::size_t>(items.end() - begin);
    auto data = json::array(begin, begin + static_cast<std::ptrdiff_t>(std::min(left, wish.limit)));
    auto const id_of = [&](bool first) -> json::value {
        return data.empty() ? json::value(nullptr) : (first ? data.front() : data.back()).at("id");
    };
    return {{"object", "list"},
            {"first_id", id_of(true)},
            {"last_id", id_of(false)},
            {"has_more", left > wish.limit},
            {"data", data}};
}

Task<int> list_input_items(RouteContext& context, std::string const& id)
{
    auto const entry = context.responses.find(id, context.env.now());
    auto wish = ListWish{};
    if (auto problem = read_list_wish(context.request.query(), wish)) {
        co_return co_await answer_openai_problem(context.exchange, std::move(*problem));
    }
    if (!entry) {
        co_return co_await answer_openai_problem(context.exchange, unknown_response(id));
    }
    auto body = json::serialize(listed(entry->input, wish));
    co_return co_await answer_json(context.exchange, 200, std::move(body));
}

}  // namespace

Task<int> show_response(RouteContext context)
{
    constexpr auto items = std::string_view("/input_items");
    if (context.argument.ends_with(items)) {
        auto const id = context.argument.substr(0, context.argument.size() - items.size());
        co_return co_await list_input_items(context, id);
    }
    auto const entry = context.responses.find(context.argument, context.env.now());
    if (!entry) {
        co_return co_await answer_openai_problem(context.exchange, unknown_response(context.argument));
    }
    co_return co_await answer_json(context.exchange, 200, json::serialize(entry->response));
}

Task<int> delete_response(RouteContext context)
{
    if (!context.responses.erase(context.argument, context.env.now())) {
        co_return co_await answer_openai_problem(context.exchange, unknown_response(context.argument));
    }
    auto const body = json::object{{"id", context.argument}, {"object", "response"}, {"deleted", true}};
    co_return co_await answer_json(context.exchange, 200, json::serialize(body));
}

Task<int> cancel_response(RouteContext context)
{
    constexpr auto cancel = std::string_view("/cancel");
    auto const is_cancel = context.argument.ends_with(cancel);
    auto const id = context.argument.substr(0, context.argument.size() - (is_cancel ? cancel.size() : 0));
    if (!is_cancel || !context.responses.find(id, context.env.now())) {
        co_return co_await answer_openai_problem(context.exchange, unknown_response(id));
    }
    auto problem = invalid_request("",
                                   "Only responses that are made in the background can be cancelled; to end a stream, "
                                   "close it.");
    co_return co_await answer_openai_problem(context.exchange, std::move(problem));
}

}  // namespace plexus::api
