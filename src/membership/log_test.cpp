#include <doctest/doctest.h>

#include "membership/membership_testing.h"
#include "security/identity.h"

using namespace plexus;
using namespace plexus::membership;

namespace {

auto const noon = WallTime(std::chrono::hours(500'000));

PeerId id_of(int number)
{
    return security::peer_id_of(test_key(number).public_key());
}

Log new_log()
{
    return Log::found(test_key(1), "one", noon, Bytes(16));
}

/// All that `from` has and `to` lacks.
void merge(Log& to, Log const& from)
{
    for (auto const* entry : from.missing_from(to.heads())) {
        REQUIRE(to.insert(*entry));
    }
}

std::string names_of(Log const& log)
{
    auto text = std::string{};
    for (auto number = 1; number < 10; ++number) {
        if (auto const found = log.members().find(id_of(number)); found != log.members().end()) {
            text += found->second.name + " ";
        }
    }
    return text;
}

}  // namespace

TEST_CASE("membership log: the founder is owner, and what was added stays through encode and decode")
{
    auto log = new_log();
    REQUIRE(log.add(test_key(1), id_of(2), Role::member, "two", noon));

    auto const again = Log::decode(log.encode()).value();

    CHECK(again.members().at(id_of(1)).role == Role::owner);
    CHECK(again.members().at(id_of(2)).role == Role::member);
    CHECK(again.mesh() == log.mesh());
    CHECK(again.heads() == log.heads());
    CHECK(again.encode() == log.encode());
}

TEST_CASE("membership log: only owners add and revoke")
{
    auto log = new_log();
    REQUIRE(log.add(test_key(1), id_of(2), Role::member, "two", noon));

    CHECK(log.add(test_key(2), id_of(3), Role::member, "three", noon).error().kind == ErrorKind::not_allowed);
    CHECK(log.revoke(test_key(2), id_of(1), noon).error().kind == ErrorKind::not_allowed);
    CHECK(log.add(test_key(4), id_of(4), Role::owner, "four", noon).error().kind == ErrorKind::not_allowed);
    CHECK(log.size() == 2);
}

TEST_CASE("membership log: entries taken in any order that knows their parents give the same members")
{
    auto left = new_log();
    REQUIRE(left.add(test_key(1), id_of(2), Role::owner, "two", noon));
    auto right = left;
    REQUIRE(left.add(test_key(1), id_of(3), Role::member, "three", noon));
    REQUIRE(right.add(test_key(2), id_of(4), Role::guest, "four", noon));

    auto left_then_right = left;
    merge(left_then_right, right);
    auto right_then_left = right;
    merge(right_then_left, left);

    CHECK(names_of(left_then_right) == "one two three four ");
    CHECK(names_of(right_then_left) == names_of(left_then_right));
    CHECK(left_then_right.heads() == right_then_left.heads());
    REQUIRE(left_then_right.add(test_key(1), id_of(5), Role::member, "five", noon));
    CHECK(left_then_right.heads().size() == 1);
}

TEST_CASE("membership log: a revocation wins over what was said at the same time")
{
    auto left = new_log();
    REQUIRE(left.add(test_key(1), id_of(2), Role::owner, "two", noon));
    REQUIRE(left.add(test_key(1), id_of(3), Role::member, "three", noon));
    auto right = left;
    REQUIRE(left.revoke(test_key(1), id_of(3), noon));
    REQUIRE(right.add(test_key(2), id_of(3), Role::owner, "three again", noon));

    merge(left, right);
    merge(right, left);

    CHECK(names_of(left) == "one two ");
    CHECK(names_of(right) == "one two ");
    CHECK(left.is_revoked(id_of(3)));
}

TEST_CASE("membership log: whom a removed owner let in at the same time is not in, nor whom that one let in")
{
    auto left = new_log();
    REQUIRE(left.add(test_key(1), id_of(2), Role::owner, "two", noon));
    auto right = left;
    REQUIRE(left.revoke(test_key(1), id_of(2), noon));
    REQUIRE(right.add(test_key(2), id_of(3), Role::owner, "three", noon));
    REQUIRE(right.add(test_key(3), id_of(4), Role::member, "four", noon));

    merge(left, right);

    CHECK(names_of(left) == "one ");
}

TEST_CASE("membership log: whom an owner let in before its removal stays in")
{
    auto log = new_log();
    REQUIRE(log.add(test_key(1), id_of(2), Role::owner, "two", noon));
    REQUIRE(log.add(test_key(2), id_of(3), Role::member, "three", noon));
    REQUIRE(log.revoke(test_key(1), id_of(2), noon));

    CHECK(names_of(log) == "one three ");
    CHECK(log.add(test_key(2), id_of(4), Role::member, "four", noon).error().kind == ErrorKind::not_allowed);
}

TEST_CASE("membership log: a removed device may be added anew by somebody who knows of the removal")
{
    auto log = new_log();
    REQUIRE(log.add(test_key(1), id_of(2), Role::member, "two", noon));
    REQUIRE(log.revoke(test_key(1), id_of(2), noon));
    REQUIRE(log.add(test_key(1), id_of(2), Role::guest, "two again", noon));

    CHECK(log.members().at(id_of(2)).role == Role::guest);
}

TEST_CASE("membership log: of two roles given at the same time the lesser counts")
{
    auto left = new_log();
    REQUIRE(left.add(test_key(1), id_of(2), Role::owner, "two", noon));
    auto right = left;
    REQUIRE(left.add(test_key(1), id_of(3), Role::owner, "three", noon));
    REQUIRE(right.add(test_key(2), id_of(3), Role::guest, "three", noon));

    merge(left, right);
    merge(right, left);

    CHECK(left.members().at(id_of(3)).role == Role::guest);
    CHECK(right.members().at(id_of(3)).role == Role::guest);
}

TEST_CASE("membership log: foreign meshes, unknown parents and changed bytes are refused")
{
    auto log = new_log();
    auto foreign = Log::found(test_key(9), "nine", noon, Bytes(16, std::byte{1}));
    REQUIRE(foreign.add(test_key(9), id_of(8), Role::member, "eight", noon));
    auto const entries = foreign.missing_from({});

    CHECK(log.insert(*entries[0]).error().kind == ErrorKind::not_allowed);
    CHECK(log.insert(*entries[1]).error().kind == ErrorKind::not_found);

    auto const bytes = log.missing_from({})[0]->bytes;
    for (std::size_t place = 0; place < bytes.size(); ++place) {
        auto changed = bytes;
        changed[place] ^= std::byte{4};
        CHECK_FALSE(parse_entry(changed));
    }
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        CHECK_FALSE(parse_entry(ByteView(bytes).first(size)));
    }
}

TEST_CASE("membership log: a file cut anywhere is refused whole")
{
    auto log = new_log();
    REQUIRE(log.add(test_key(1), id_of(2), Role::member, "two", noon));
    auto const bytes = log.encode();

    auto whole = 0;
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        whole += Log::decode(ByteView(bytes).first(size)) ? 1 : 0;
    }

    CHECK(whole == 1);  // the founding entry alone is a log too
}

TEST_CASE("membership log: it takes no more entries than its limit")
{
    auto log = new_log();
    for (std::size_t count = 1; count < max_entries; ++count) {
        REQUIRE(log.add(test_key(1), id_of(2), Role::member, fmt::format("name {}", count), noon));
    }

    CHECK(log.add(test_key(1), id_of(2), Role::member, "one more", noon).error().kind == ErrorKind::too_large);
    CHECK(log.members().at(id_of(2)).name == fmt::format("name {}", max_entries - 1));
}

TEST_CASE("invite link: what is in it comes out, and what is not whole is told so")
{
    auto const link = InviteLink{.device = id_of(1),
                                 .addresses = {Multiaddr::from_text("/ip4/192.0.2.1/tcp/7598").value()},
                                 .invite_id = Bytes(invite_id_bytes, std::byte{1}),
                                 .secret = Bytes(secret_bytes, std::byte{2}),
                                 .expires = noon};
    auto const text = link.text();

    auto const read = InviteLink::parse(" '" + text + "'\n").value();
    CHECK(read.device == link.device);
    CHECK(read.addresses == link.addresses);
    CHECK(read.invite_id == link.invite_id);
    CHECK(read.secret == link.secret);
    CHECK(read.expires == link.expires);
    CHECK(text.size() < 160);

    for (std::size_t size = 0; size < text.size(); ++size) {
        CHECK(InviteLink::parse(text.substr(0, size)).error().kind == ErrorKind::malformed);
    }
    CHECK_FALSE(InviteLink::parse("https://example.org/join"));
    CHECK_FALSE(InviteLink::parse(text + "AAAA"));
    CHECK_FALSE(InviteLink::parse(text + std::string(4000, 'A')));
}

TEST_CASE("membership log: a full log of owners who add each other again and again is read in a moment")
{
    auto log = new_log();
    REQUIRE(log.add(test_key(1), id_of(2), Role::owner, "two", noon));
    auto entry = [&](int signer, int device, std::size_t count) {
        return sign_entry(test_key(signer), {.operation = count % 7 == 0 ? Operation::revoke : Operation::add,
                                             .parents = log.heads(),
                                             .signer = id_of(signer),
                                             .time = noon,
                                             .device = id_of(device),
                                             .role = Role::owner,
                                             .name = fmt::format("name {}", count),
                                             .nonce = {}});
    };
    auto steps = std::size_t{0};
    while (log.size() < max_entries) {
        auto const is_odd = steps++ % 2 != 0;
        // Whom the other one has revoked is silent until it is back.
        if (auto taken = log.insert(entry(is_odd ? 1 : 2, is_odd ? 2 : 1, steps)); !taken) {
            REQUIRE(taken.error().kind == ErrorKind::not_allowed);
        }
        REQUIRE(steps < 4 * max_entries);
    }

    auto const again = Log::decode(log.encode());

    REQUIRE(again);
    CHECK(again->members().size() == log.members().size());
    CHECK(again->heads() == log.heads());
}
