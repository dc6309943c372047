#include <doctest/doctest.h>

#include "membership/membership_testing.h"

using namespace plexus;
using namespace plexus::membership;
using namespace std::chrono_literals;

namespace {

struct Home : ThreeDevices {
    using ThreeDevices::ThreeDevices;

    static Candidate candidate(TestDevice const& device)
    {
        return {device.id(), {multiformats::Multiaddr::from_tcp({device.env.address(), 7598})}};
    }

    static std::string code_of(TestDevice& device, Duration lifetime = 5min)
    {
        return device.membership->invite(Role::member, lifetime).value().code;
    }

    /// As a person would who sees on `device` that somebody waits; gives the name.
    static Task<std::string> decide(TestDevice& device, bool lets_in)
    {
        for (;;) {
            for (auto const& invite : device.membership->invites()) {
                if (invite.applicant) {
                    auto const name = invite.applicant->name;
                    CHECK(device.membership->decide(invite.id, invite.applicant->device, lets_in));
                    co_return name;
                }
            }
            co_await sleep_for(device.env, 100ms);
        }
    }

    Task<Result<PeerId>> join(std::string code, std::vector<Candidate> candidates)
    {
        return b.membership->join_by_code(std::move(code), std::move(candidates), b.env.deadline_in(90s));
    }
};

std::string other_than(std::string code)
{
    code.back() = code.back() == '9' ? '0' : static_cast<char>(code.back() + 1);
    return code;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("code: with six digits, and a person's word on the other device, a device becomes a member")
{
    auto home = Home(1);
    auto task = [&]() -> Task<> {
        auto const code = Home::code_of(home.a);
        CHECK(code.size() == code_digits);
        auto scope = TaskScope(home.world.executor());
        auto name = std::string{};
        scope.spawn("decide", [](TestDevice& device, std::string& seen) -> Task<> {
            seen = co_await Home::decide(device, true);
        }(home.a, name));
        auto const typed = code.substr(0, 3) + "-" + code.substr(3);
        auto const joined = co_await home.join(typed, {Home::candidate(home.c), Home::candidate(home.a)});
        CHECK(joined.value() == home.a.id());
        CHECK(name == "b");
        co_await sleep_for(home.a.env, 2s);
        CHECK(home.a.names() == Names{"a", "b"});
        CHECK(home.b.names() == Names{"a", "b"});
        CHECK(home.a.is_connected_to(home.b));
        CHECK(home.a.membership->invites().empty());
        co_await scope.join();
    };
    home.run(task());
}

TEST_CASE("code: wrong digits cost a try each, and after three the code is worth nothing")
{
    auto home = Home(2);
    auto task = [&]() -> Task<> {
        auto const code = Home::code_of(home.a);
        for (auto const* left : {"left: 2", "left: 1", "any more"}) {
            auto const joined = co_await home.join(other_than(code), {Home::candidate(home.a)});
            CHECK(joined.error().kind == ErrorKind::not_allowed);
            CHECK(joined.error().text.find(left) != std::string::npos);
        }
        CHECK((co_await home.join(code, {Home::candidate(home.a)})).error().kind == ErrorKind::not_found);
        CHECK(home.a.membership->invites().size() == 1);  // its link is as good as before
        CHECK(home.a.membership->invites().front().code.empty());
        CHECK(home.a.names() == Names{"a"});
    };
    home.run(task());
}

TEST_CASE("code: a device that is told not to let another in does not, and its code is spent")
{
    auto home = Home(3);
    auto task = [&]() -> Task<> {
        auto const code = Home::code_of(home.a);
        auto scope = TaskScope(home.world.executor());
        scope.spawn("decide", [](TestDevice& device) -> Task<> { co_await Home::decide(device, false); }(home.a));
        CHECK((co_await home.join(code, {Home::candidate(home.a)})).error().kind == ErrorKind::not_allowed);
        CHECK((co_await home.join(code, {Home::candidate(home.a)})).error().kind == ErrorKind::not_found);
        CHECK(home.a.names() == Names{"a"});
        co_await scope.join();
    };
    home.run(task());
}

TEST_CASE("code: without a person's word nothing happens, and the code can be used again")
{
    auto home = Home(4);
    auto task = [&]() -> Task<> {
        auto const code = Home::code_of(home.a);
        auto const began = home.a.env.now();
        CHECK((co_await home.join(code, {Home::candidate(home.a)})).error().kind == ErrorKind::timed_out);
        CHECK(home.a.env.now() - began < 60s);
        CHECK_FALSE(home.a.membership->invites().front().applicant);
        CHECK(home.a.membership->decide(home.a.membership->invites().front().id, home.b.id(), true).error().kind ==
              ErrorKind::not_found);
        CHECK(home.a.membership->invites().front().code == code);
        CHECK(home.a.names() == Names{"a"});
    };
    home.run(task());
}

TEST_CASE("code: a device that shows another code neither gets in the way nor learns the code")
{
    auto home = Home(5);
    auto task = [&]() -> Task<> {
        auto const code = Home::code_of(home.a);
        auto const other = Home::code_of(home.c);
        REQUIRE(code != other);
        auto scope = TaskScope(home.world.executor());
        scope.spawn("decide", [](TestDevice& device) -> Task<> { co_await Home::decide(device, true); }(home.a));
        auto const joined = co_await home.join(code, {Home::candidate(home.c), Home::candidate(home.a)});
        CHECK(joined.value() == home.a.id());
        CHECK(home.c.names() == Names{"c"});
        co_await scope.join();
    };
    home.run(task());
}

TEST_CASE("code: it ends after five minutes, and with a newer one; its invite may be open for longer")
{
    auto home = Home(6);
    auto task = [&]() -> Task<> {
        auto const older = Home::code_of(home.a, 1h);
        auto const code = Home::code_of(home.a, 1h);
        CHECK((co_await home.join(older, {Home::candidate(home.a)})).error().kind == ErrorKind::not_allowed);
        co_await sleep_for(home.a.env, 5min);
        CHECK((co_await home.join(code, {Home::candidate(home.a)})).error().kind == ErrorKind::not_found);
        CHECK(home.a.membership->invites().size() == 2);
        CHECK((co_await home.join("12345", {})).error().kind == ErrorKind::malformed);
        CHECK((co_await home.join("123456", {})).error().kind == ErrorKind::not_found);
    };
    home.run(task());
}

TEST_CASE("code: one in the middle that relays, or changes anything, ends with different keys")
{
    auto const random = [](int which) {
        auto const bytes = Bytes(32, static_cast<std::byte>(which));
        return crypto::Secret32(std::span<std::byte const, 32>(bytes));
    };
    auto const peer = [](int which) { return PeerId::from_key_digest(Bytes(32, static_cast<std::byte>(which))); };
    using Side = CodeExchange::Side;
    auto seen = CodeExchange{.joiner = peer(1), .host = peer(2), .session = Bytes(32), .name = "ana"};
    auto const joiner = seen.half("482913", random(1));
    auto const host = seen.half("482913", random(2));
    seen.joiner_share = to_bytes(joiner.share());
    seen.host_share = to_bytes(host.share());
    auto const proof = seen.proof_of(Side::joiner, joiner).value();
    CHECK(seen.proof_of(Side::joiner, host).value() == proof);
    CHECK(seen.proof_of(Side::host, host).value() != proof);

    auto changed = std::vector<CodeExchange>(4, seen);
    changed[0].joiner = peer(3);
    changed[1].host = peer(3);
    changed[2].session[0] = std::byte{1};
    changed[3].name = "eve";
    for (auto const& each : changed) {
        auto const other = each.half("482913", random(2));
        auto told = each;
        told.host_share = to_bytes(other.share());
        CHECK(told.proof_of(Side::joiner, other).value() != proof);
    }
}

TEST_CASE("code: what people type is understood, and nothing else is")
{
    CHECK(digits_of("482-913") == "482913");
    CHECK(digits_of(" 482 913 ") == "482913");
    CHECK(digits_of("000000") == "000000");
    for (auto const* text : {"", "48291", "4829133", "482.913", "48291a", "plexus://join/abc"}) {
        CHECK_FALSE(digits_of(text));
    }
}
