#include <doctest/doctest.h>

#include "base/url.h"

using namespace plexus;

namespace {

Url url(std::string_view text)
{
    return Url::parse(text).value();
}

bool is_public_text(std::string const& text)
{
    return is_public(asio::ip::make_address(text));
}

}  // namespace

TEST_CASE("url: one address has one spelling")
{
    CHECK(url("HTTPS://Example.ORG").text() == "https://example.org/");
    CHECK(url("https://example.org:443/a?b#c").text() == "https://example.org/a?b");
    CHECK(url("http://127.0.0.1:8080/a/b.gguf?x").file_name() == "b.gguf");
    CHECK(url("http://[::1]:81/").text() == "http://[::1]:81/");
    CHECK(url("http://[::1]:81/").address() == asio::ip::make_address("::1"));
    CHECK(url("https://example.org?q").target == "/?q");
}

TEST_CASE("url: what could be read in two ways is refused")
{
    for (auto const* text : {"", "ftp://a/", "file:///etc/passwd", "https://", "https:///a", "https://u:p@a/",
                             "https://a b/", "https://a/\r\nHost: b", "https://a:0/", "https://a:70000/", "https://a:/",
                             "https://[::1", "https://[1.2.3.4]/", "https://[fe80::1%25eth0]/", "https://-a/",
                             "https://a\\b/", "https://a/\\b", "https://\xc3\xa4/", "https://a%2f/"}) {
        CAPTURE(text);
        CHECK(Url::parse(text).error().kind == ErrorKind::malformed);
    }
    CHECK(Url::parse("https://a/" + std::string(max_url_bytes, 'a')).error().kind == ErrorKind::too_large);
}

TEST_CASE("url: a location is read from where it was said")
{
    auto const base = url("https://a.example/x/y?z");

    CHECK(base.resolve("/w").value().text() == "https://a.example/w");
    CHECK(base.resolve("w?1").value().text() == "https://a.example/x/w?1");
    CHECK(base.resolve("//b.example/w").value().text() == "https://b.example/w");
    CHECK(base.resolve("http://b.example/w").value().text() == "http://b.example/w");
    CHECK_FALSE(base.resolve("javascript://b/").has_value());
}

TEST_CASE("addresses: only those of the public internet are public")
{
    for (auto const* text :
         {"8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"}) {
        CAPTURE(text);
        CHECK(is_public_text(text));
    }
    for (auto const* text : {"0.0.0.0",
                             "10.1.2.3",
                             "100.64.0.1",
                             "127.0.0.1",
                             "127.255.0.1",
                             "169.254.169.254",
                             "172.16.0.1",
                             "172.31.255.255",
                             "192.168.1.1",
                             "192.0.2.1",
                             "198.18.0.1",
                             "224.0.0.1",
                             "255.255.255.255",
                             "::",
                             "::1",
                             "fe80::1",
                             "fc00::1",
                             "ff02::1",
                             "::ffff:127.0.0.1",
                             "::127.0.0.1",
                             "64:ff9b::7f00:1",
                             "2002:7f00:1::",
                             "2001:db8::1",
                             "2001:0:1::1"}) {
        CAPTURE(text);
        CHECK_FALSE(is_public_text(text));
    }
}
