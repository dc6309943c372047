#include "base/bytes.h"
#include "node/config.h"

using namespace plexus;
using namespace plexus::node;

/// What is accepted keeps the ranges of its keys; what is refused is told with the file's name.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const text = as_text(std::as_bytes(std::span(data, size)));
    auto const config = read_config(text, "config.toml", [](std::string const&) { return std::nullopt; });
    if (!config) {
        PLEXUS_ASSERT(config.error().kind == ErrorKind::malformed && config.error().text.contains("config.toml"));
        return 0;
    }
    auto const& engine = config->engine;
    PLEXUS_ASSERT(engine.context == 0 || (engine.context >= 256 && engine.context <= 1 << 20));
    PLEXUS_ASSERT(engine.slots <= 64);
    PLEXUS_ASSERT(engine.threads <= 1024);
    PLEXUS_ASSERT(config->mesh.name.size() <= 64);
    auto code = boost::system::error_code{};
    boost::asio::ip::make_address(config->mesh.address, code);
    PLEXUS_ASSERT(!code);
    return 0;
}
