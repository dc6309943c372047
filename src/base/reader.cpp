#include "base/reader.h"

namespace plexus {

Result<ByteView> BoundedReader::take(std::size_t count)
{
    if (count > remaining()) {
        return fail(ErrorKind::malformed, "{} bytes expected, {} left", count, remaining());
    }
    auto const taken = bytes_.subspan(position_, count);
    position_ += count;
    return taken;
}

ByteView BoundedReader::take_rest()
{
    auto const taken = bytes_.subspan(position_);
    position_ = bytes_.size();
    return taken;
}

}  // namespace plexus
