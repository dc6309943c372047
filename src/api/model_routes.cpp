#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/control_body.h"
#include "api/progress_lines.h"
#include "api/views.h"

namespace plexus::api {

namespace json = boost::json;

namespace {

constexpr std::uint32_t longest_context = 1 << 24;
constexpr std::uint32_t most_slots = 1024;
constexpr std::size_t digest_digits = 64;

json::object with_model(ModelView const& view)
{
    return {{"model", to_json(view)}};
}

/// Empty, or 64 hexadecimal digits.
std::expected<std::string, Problem> digest_field(json::object const& body, std::string_view name)
{
    auto text = text_field(body, name);
    auto const is_digit = [](unsigned char letter) { return std::isxdigit(letter) != 0; };
    if (text && !text->empty() && (text->size() != digest_digits || !std::ranges::all_of(*text, is_digit))) {
        return std::unexpected(
            invalid_request(std::string(name), fmt::format("'{}' must be 64 hexadecimal digits.", name)));
    }
    return text;
}

/// The text field that may not be empty.
std::expected<std::string, Problem> needed_field(json::object const& body, std::string_view name)
{
    auto text = text_field(body, name);
    if (text && text->empty()) {
        return std::unexpected(
            invalid_request(std::string(name), fmt::format("'{}' is missing.", name), "missing_field"));
    }
    return text;
}

std::expected<PullOrder, Problem> order_of(Request const& request)
{
    auto const body = body_of(request);
    if (!body) {
        return std::unexpected(body.error());
    }
    auto const source = needed_field(*body, "source");
    auto const name = text_field(*body, "name");
    auto const digest = digest_field(*body, "sha256");
    if (!source || !name || !digest) {
        return std::unexpected(!source ? source.error() : !name ? name.error() : digest.error());
    }
    return PullOrder{.source = *source, .name = *name, .sha256 = *digest};
}

/// The text of a request that has one field.
std::expected<std::string, Problem> only_field(Request const& request, std::string_view name)
{
    auto const body = body_of(request);
    return body ? needed_field(*body, name) : std::unexpected(body.error());
}

}  // namespace

Task<int> pull_model(RouteContext context)
{
    auto const order = order_of(context.request);
    if (!order) {
        co_return co_await answer_problem(context.exchange, order.error());
    }
    auto work = [&](ProgressReport report) -> Task<Result<json::object>> {
        auto const model = co_await context.services.models.pull(*order, std::move(report));
        co_return transform(model, with_model);
    };
    co_return co_await answer_with_progress(context, std::move(work));
}

Task<int> verify_model(RouteContext context)
{
    auto const name = only_field(context.request, "model");
    if (!name) {
        co_return co_await answer_problem(context.exchange, name.error());
    }
    auto work = [&](ProgressReport report) -> Task<Result<json::object>> {
        auto const model = co_await context.services.models.verify(*name, std::move(report));
        co_return transform(model, with_model);
    };
    co_return co_await answer_with_progress(context, std::move(work));
}

Task<int> show_model(RouteContext context)
{
    auto const details = co_await context.services.models.details(context.argument);
    if (!details) {
        co_return co_await answer_problem(context.exchange, problem_from(details.error()));
    }
    co_return co_await answer_json(context.exchange, 200, json::serialize(to_json(*details)));
}

Task<int> list_suggestions(RouteContext context)
{
    auto body = json::serialize(list_json("suggestions", context.services.models.suggestions()));
    co_return co_await answer_json(context.exchange, 200, std::move(body));
}

Task<int> plan_model(RouteContext context)
{
    auto const body = body_of(context.request);
    if (!body) {
        co_return co_await answer_problem(context.exchange, body.error());
    }
    auto const name = needed_field(*body, "model");
    auto const length = number_field(*body, "context", longest_context);
    auto const slots = number_field(*body, "slots", most_slots);
    if (!name || !length || !slots) {
        auto problem = !name ? name.error() : !length ? length.error() : slots.error();
        co_return co_await answer_problem(context.exchange, std::move(problem));
    }
    auto const plan = context.services.models.plan(*name, *length, *slots);
    if (!plan) {
        co_return co_await answer_problem(context.exchange, problem_from(plan.error()));
    }
    co_return co_await answer_json(context.exchange, 200, json::serialize(to_json(*plan)));
}

Task<int> explain_route(RouteContext context)
{
    auto const body = body_of(context.request);
    if (!body) {
        co_return co_await answer_problem(context.exchange, body.error());
    }
    auto const name = needed_field(*body, "model");
    auto const prompt = number_field(*body, "prompt_tokens", longest_context);
    auto const output = number_field(*body, "output_tokens", longest_context);
    if (!name || !prompt || !output) {
        auto problem = !name ? name.error() : !prompt ? prompt.error() : output.error();
        co_return co_await answer_problem(context.exchange, std::move(problem));
    }
    auto const routes = context.services.models.routes({*name, *prompt, *output});
    if (!routes) {
        co_return co_await answer_problem(context.exchange, problem_from(routes.error()));
    }
    co_return co_await answer_json(context.exchange, 200, json::serialize(list_json("routes", *routes)));
}

Task<int> list_foreign_models(RouteContext context)
{
    auto const body = body_of(context.request);
    if (!body) {
        co_return co_await answer_problem(context.exchange, body.error());
    }
    auto const kind = needed_field(*body, "from");
    auto const folder = needed_field(*body, "folder");
    if (!kind || !folder) {
        co_return co_await answer_problem(context.exchange, kind ? folder.error() : kind.error());
    }
    if (folder->front() != '/') {
        auto problem = invalid_request("folder", "'folder' must be an absolute path.");
        co_return co_await answer_problem(context.exchange, std::move(problem));
    }
    auto const found = co_await context.services.models.foreign(*kind, *folder);
    if (!found) {
        co_return co_await answer_problem(context.exchange, problem_from(found.error()));
    }
    co_return co_await answer_json(context.exchange, 200, json::serialize(list_json("models", *found)));
}

}  // namespace plexus::api
