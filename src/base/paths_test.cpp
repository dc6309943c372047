#include <doctest/doctest.h>

#include "base/paths.h"

#include <map>

using namespace plexus;

namespace {

Environment with(std::map<std::string, std::string> values)
{
    return [values = std::move(values)](std::string const& name) -> std::optional<std::string> {
        auto const found = values.find(name);
        return found == values.end() ? std::nullopt : std::optional(found->second);
    };
}

}  // namespace

TEST_CASE("paths: PLEXUS_HOME moves everything")
{
    auto const paths = find_paths(with({{"PLEXUS_HOME", "/tmp/one"}, {"HOME", "/home/ana"}, {"XDG_DATA_HOME", "/x"}}));

    REQUIRE(paths.has_value());
    CHECK(paths->config_file == "/tmp/one/config.toml");
    CHECK(paths->data == "/tmp/one/data");
    CHECK(paths->api_token() == "/tmp/one/state/api-token");
    CHECK(paths->socket == "/tmp/one/plexus.sock");
}

TEST_CASE("paths: otherwise the XDG folders count, and relative ones are ignored")
{
    auto const plain = find_paths(with({{"HOME", "/home/ana"}}));
    auto const moved = find_paths(with({{"HOME", "/home/ana"},
                                        {"XDG_DATA_HOME", "/big"},
                                        {"XDG_STATE_HOME", "relative"},
                                        {"XDG_RUNTIME_DIR", "/run/user/7"}}));

    REQUIRE(plain.has_value());
    CHECK(plain->data == "/home/ana/.local/share/plexus");
    CHECK(plain->socket == "/home/ana/.local/state/plexus/plexus.sock");
    REQUIRE(moved.has_value());
    CHECK(moved->data == "/big/plexus");
    CHECK(moved->state == "/home/ana/.local/state/plexus");
    CHECK(moved->socket == "/run/user/7/plexus/plexus.sock");
}

TEST_CASE("paths: without a home there is an error, not a guess")
{
    CHECK(find_paths(with({})).error().kind == ErrorKind::not_found);
    CHECK(find_paths(with({{"PLEXUS_HOME", "here"}})).error().kind == ErrorKind::malformed);
}
