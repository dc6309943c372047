#include "blobs/blobs.h"

#include "blobs/copying.h"

namespace plexus::blobs {

namespace {

class BlobsImpl final : public Blobs {
public:
    BlobsImpl(Env& env, host::Host& host, catalog::Catalog& catalog, models::Store& store, Options options)
        : env_(env), host_(host), catalog_(catalog), store_(store), name_of_(std::move(options.name_of)),
          holder_(env, store, options.holder), tasks_(env.executor())
    {
        host.handle(
            std::string(blob_protocol), host::Admission::member,
            [this](std::unique_ptr<host::Stream> stream) { return holder_.serve(std::move(stream)); },
            host::ConnectionUse::bulk);
    }

    Task<Result<models::Model>> copy(Wanted wanted, std::function<void(CopyProgress const&)> progress) override;
    Task<> stop() override;

private:
    std::string name_of(PeerId const& device) const { return name_of_ ? name_of_(device) : device.short_text(); }
    Result<std::string> choose_name(Wanted const& wanted) const;

    Env& env_;
    host::Host& host_;
    catalog::Catalog& catalog_;
    models::Store& store_;
    std::function<std::string(PeerId const&)> name_of_;
    Holder holder_;
    bool stopping_ = false;
    TaskScope tasks_;
};

/// Asked for before the first byte: nobody wants to learn at the end that the name is taken.
Result<std::string> BlobsImpl::choose_name(Wanted const& wanted) const
{
    auto name = wanted.name;
    for (auto const& holder : catalog_.who_holds(wanted.model)) {
        if (name.empty() && !holder.model->names.empty() && models::is_usable_name(holder.model->names.front())) {
            name = holder.model->names.front();
        }
    }
    name = name.empty() ? wanted.model.text() : name;
    if (auto const checked = store_.check_name(name); !checked) {
        return std::unexpected(checked.error());
    }
    return name;
}

Task<Result<models::Model>> BlobsImpl::copy(Wanted wanted, std::function<void(CopyProgress const&)> progress)
{
    if (stopping_) {
        co_return fail(ErrorKind::closed, "the device is stopping");
    }
    if (auto const* present = store_.find(wanted.model.text())) {
        co_return *present;
    }
    auto const name = choose_name(wanted);
    if (!name) {
        co_return std::unexpected(name.error());
    }
    auto const copying = std::make_shared<Copying>(
        env_, host_, catalog_, store_, std::move(wanted), [this](PeerId const& device) { return name_of(device); },
        tasks_);
    struct AtEnd {
        Copying& copying;
        ~AtEnd() { copying.halt(); }
    };
    auto const at_end = AtEnd{*copying};
    auto const copied = co_await copying->run(std::move(progress));
    if (!copied) {
        co_return std::unexpected(copied.error());
    }
    co_return co_await store_.finish(copying->take_partial(), *name, "copied from " + copying->origin());
}

Task<> BlobsImpl::stop()
{
    stopping_ = true;
    co_await tasks_.join();
    co_await holder_.stop();
}

}  // namespace

std::unique_ptr<Blobs> make_blobs(Env& env, host::Host& host, catalog::Catalog& catalog, models::Store& store,
                                  Options options)
{
    return std::make_unique<BlobsImpl>(env, host, catalog, store, std::move(options));
}

}  // namespace plexus::blobs
