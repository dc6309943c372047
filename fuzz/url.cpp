#include "base/url.h"

#include "base/bytes.h"

using namespace plexus;

/// An address, or two lines: an address and a location said there.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const input = as_text(std::as_bytes(std::span(data, size)));
    auto const line = input.find('\n');
    auto url = Url::parse(input.substr(0, line));
    if (url && line != std::string_view::npos) {
        url = url->resolve(input.substr(line + 1));
    }
    if (!url) {
        return 0;
    }
    auto const text = url->text();
    PLEXUS_ASSERT(Url::parse(text).value() == *url);
    PLEXUS_ASSERT(text.find_first_of(" \r\n@\\#") == std::string::npos || url->target.contains('@'));
    PLEXUS_ASSERT(url->target.starts_with('/') && url->port > 0 && !url->host.empty());
    return 0;
}
