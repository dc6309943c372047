#include "api/openai_testing.h"

#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

namespace plexus::api::testing {

boost::json::value body_of(Reply const& reply)
{
    auto code = boost::system::error_code{};
    auto value = boost::json::parse(reply.body, code);
    CHECK_MESSAGE(!code, reply.body);
    return value;
}

std::string error_code_of(Reply const& reply)
{
    return std::string(body_of(reply).at_pointer("/error/code").as_string());
}

std::vector<std::string> events_of(Reply const& reply)
{
    auto events = std::vector<std::string>{};
    auto text = std::string_view(reply.body);
    while (!text.empty()) {
        auto const end = text.find("\n\n");
        REQUIRE(end != std::string_view::npos);
        auto const block = text.substr(0, end);
        if (auto const data = block.find("data: "); data != std::string_view::npos && !block.starts_with(':')) {
            events.emplace_back(block.substr(data + 6));
        }
        text.remove_prefix(end + 2);
    }
    return events;
}

void check_refused(ApiFixture& fixture, std::string_view path, std::string_view body, std::string_view param)
{
    auto const reply = fixture.ask(request("POST", path, body));
    CHECK_MESSAGE(reply.status == 400, body);
    auto const answer = body_of(reply);
    auto code = boost::system::error_code{};
    auto const* at = answer.find_pointer("/error/param", code);
    REQUIRE_MESSAGE(at != nullptr, body);
    CHECK_MESSAGE((at->is_null() ? std::string_view() : std::string_view(at->get_string())) == param, body);
    CHECK(answer.at_pointer("/error/type") == "invalid_request_error");
}

}  // namespace plexus::api::testing
