#include <doctest/doctest.h>

#include "base/text.h"

using namespace plexus;

TEST_CASE("text: UTF-8 is told from bytes that only look like it")
{
    for (auto const* good : {"", "plain", "B\u00fcro", "\u65e5\u672c", "\U0001F600", "two\nlines", "\u0085"}) {
        CHECK(is_utf8(good));
    }
    for (auto const* bad : {"B\xfcro", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe6\x97", "\x80"}) {
        CHECK(!is_utf8(bad));
        CHECK(!is_printable_utf8(bad));
    }
}

TEST_CASE("text: what can be shown on one line has no control characters")
{
    CHECK(is_printable_utf8("B\u00fcro \U0001F600"));
    for (auto const* bad : {"two\nlines", "\x1b[2J", "\x7f", "\u0085", "\u009b"}) {
        CHECK(!is_printable_utf8(bad));
    }
}
