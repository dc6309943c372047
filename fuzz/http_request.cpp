#include "api/guard.h"
#include "api/request_parser.h"

using namespace plexus;
using namespace plexus::api;

namespace {

/// The requests in `bytes`, given `step` bytes at a time, as one text; what was refused ends it.
std::string parse_in_steps(ByteView bytes, std::size_t step)
{
    auto parser = RequestParser();
    auto text = std::string{};
    while (!bytes.empty()) {
        auto const part = bytes.first(std::min(step, bytes.size()));
        bytes = bytes.subspan(part.size());
        parser.push(part);
        for (;;) {
            auto const progress = parser.advance();
            if (!progress) {
                return text + fmt::format("!{}", parser.refusal_status());
            }
            if (*progress == RequestParser::Progress::need_more) {
                break;
            }
            if (*progress == RequestParser::Progress::complete) {
                auto const request = parser.take();
                auto const refused = check(request, Door::loopback, {.port = 7597, .origins = {}, .token = "secret-token"});
                text += fmt::format("{} {} {} {}\n", request.method, percent_decoded(request.path()).value_or("?"),
                                    request.body, refused ? refused->status : 0);
            }
        }
    }
    return text;
}

}  // namespace

/// However the bytes are split, the same requests come out. A head that has not ended may be refused sooner or later, so
/// it is ended here.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto bytes = to_bytes(std::as_bytes(std::span(data, size)));
    append(bytes, as_view("\r\n\r\n"));
    auto const whole = parse_in_steps(bytes, bytes.size());
    auto const pieces = parse_in_steps(bytes, 7);
    PLEXUS_ASSERT(whole == pieces);
    return 0;
}
