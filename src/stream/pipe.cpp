#include "stream/pipe.h"

namespace plexus::stream {

namespace {

struct Direction {
    Direction(Executor executor, std::size_t room) : limit(room), changed(std::move(executor)) {}
    std::size_t limit;
    std::deque<std::byte> bytes;
    bool ended = false;
    bool broken = false;
    Signal changed;

    void break_off()
    {
        broken = true;
        changed.notify();
    }
};

class PipeEnd final : public ByteStream {
public:
    PipeEnd(std::shared_ptr<Direction> in, std::shared_ptr<Direction> out) : in_(std::move(in)), out_(std::move(out)) {}
    ~PipeEnd() override { reset(); }

    Task<Result<std::size_t>> read_some(MutableByteView buffer) override
    {
        auto const in = in_;
        while (in->bytes.empty() && !in->ended && !in->broken) {
            co_await in->changed.wait();
        }
        if (in->broken) {
            co_return fail(ErrorKind::closed, "the pipe was reset");
        }
        auto const count = std::min(buffer.size(), in->bytes.size());
        std::copy_n(in->bytes.begin(), count, buffer.begin());
        in->bytes.erase(in->bytes.begin(), in->bytes.begin() + static_cast<std::ptrdiff_t>(count));
        in->changed.notify();
        co_return count;
    }

    Task<Result<void>> write(ByteView bytes) override
    {
        auto const out = out_;
        while (!bytes.empty()) {
            while (out->bytes.size() >= out->limit && !out->broken) {
                co_await out->changed.wait();
            }
            if (out->broken || out->ended) {
                co_return fail(ErrorKind::closed, "the pipe is closed");
            }
            auto const count = std::min(bytes.size(), out->limit - out->bytes.size());
            out->bytes.insert(out->bytes.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
            bytes = bytes.subspan(count);
            out->changed.notify();
        }
        co_return Result<void>{};
    }

    Task<Result<void>> close_write() override
    {
        out_->ended = true;
        out_->changed.notify();
        co_return Result<void>{};
    }

    void reset() override
    {
        in_->break_off();
        if (!out_->ended) {
            out_->break_off();
        }
    }

private:
    std::shared_ptr<Direction> in_;
    std::shared_ptr<Direction> out_;
};

}  // namespace

std::pair<std::unique_ptr<ByteStream>, std::unique_ptr<ByteStream>> make_pipe(Executor executor, std::size_t limit)
{
    auto const there = std::make_shared<Direction>(executor, limit);
    auto const back = std::make_shared<Direction>(executor, limit);
    return {std::make_unique<PipeEnd>(back, there), std::make_unique<PipeEnd>(there, back)};
}

}  // namespace plexus::stream
