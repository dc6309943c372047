#include "node/external_engines.h"

#include "base/text.h"
#include "node/services.h"

namespace plexus::node {

namespace {

constexpr std::size_t max_file_bytes = 256 * 1024;
constexpr auto usual_places = std::array<std::pair<std::string_view, std::uint16_t>, 4>{
    {{"Ollama", 11434}, {"LM Studio", 1234}, {"vLLM", 8000}, {"llama-server", 8080}}};

std::filesystem::path engines_file(Paths const& paths)
{
    return paths.state / "external-engines";
}

api::ExternalEngineView view_of(inference::ExternalEngine const& engine)
{
    auto view = api::ExternalEngineView{.url = engine.address.url,
                                        .token_file = engine.address.token_file.string(),
                                        .is_there = engine.is_there,
                                        .problem = engine.problem,
                                        .busy = engine.busy,
                                        .slots = inference::max_external_tasks};
    for (auto const& model : engine.models) {
        view.models.push_back({.name = model.name,
                               .digest = model.digest.text(),
                               .context = model.context,
                               .gives_vectors = model.gives_vectors});
    }
    return view;
}

/// The engine that a person means by an address.
Result<inference::ExternalEngine> known_engine(Device& device, std::string_view url)
{
    auto const wanted = inference::external_url(url);
    for (auto& engine : device.external().list()) {
        if (wanted && engine.address.url == *wanted) {
            return engine;
        }
    }
    return fail(ErrorKind::not_found, "there is no engine {} on this device", url);
}

}  // namespace

std::vector<catalog::Model> offered(std::vector<inference::ExternalEngine> const& engines)
{
    auto models = std::vector<catalog::Model>{};
    for (auto const& engine : engines) {
        for (auto const& model : engine.models) {
            if (engine.is_there) {
                auto offer = catalog::Model{};
                offer.digest = model.digest;
                offer.names = {model.name};
                offer.context_length = model.context;
                offer.capabilities = model.gives_vectors ? catalog::can_embed : catalog::can_chat;
                offer.is_external = true;
                models.push_back(std::move(offer));
            }
        }
    }
    return models;
}

/// One engine a line: its address, and after a blank the path of its token, if any.
Result<void> Device::write_external()
{
    auto text = std::string{};
    for (auto const& engine : external_->list()) {
        auto const& [url, token_file] = engine.address;
        text += token_file.empty() ? url + "\n" : fmt::format("{} {}\n", url, token_file.string());
    }
    return env_.disk().write_file(engines_file(options_.paths), as_view(text), 0600);
}

void Device::read_external()
{
    auto const content = env_.disk().read_file(engines_file(options_.paths), max_file_bytes);
    auto text = content ? as_text(*content) : std::string_view{};
    while (!text.empty()) {
        auto const line = take_line(text);
        auto const blank = std::min(line.find(' '), line.size());
        auto const token_file = line.substr(std::min(blank + 1, line.size()));
        if (auto url = inference::external_url(line.substr(0, blank))) {
            std::ignore = external_->add({.url = std::move(*url), .token_file = token_file});
        }
    }
}

Task<Result<inference::ExternalEngine>> Device::add_external(inference::ExternalAddress address)
{
    if (auto const added = external_->add(address); !added) {
        co_return std::unexpected(added.error());
    }
    auto engine = co_await external_->test(address);
    auto const written = engine ? write_external() : std::unexpected(engine.error());
    if (!written) {
        std::ignore = external_->remove(address.url);
        co_return std::unexpected(written.error());
    }
    co_return engine;
}

Result<void> Device::remove_external(std::string const& url)
{
    return external_->remove(url) ? write_external()
                                  : fail(ErrorKind::not_found, "there is no engine {} on this device", url);
}

std::vector<api::ExternalEngineView> DeviceServices::external_engines() const
{
    auto views = std::vector<api::ExternalEngineView>{};
    for (auto const& engine : device_.external().list()) {
        views.push_back(view_of(engine));
    }
    return views;
}

Task<Result<api::ExternalEngineView>> DeviceServices::add_external_engine(api::ExternalEngineOrder order)
{
    auto url = inference::external_url(order.url);
    if (!url) {
        co_return std::unexpected(url.error());
    }
    if (order.token_file.contains('\n')) {
        co_return fail(ErrorKind::malformed, "the path of a token has no line breaks");
    }
    if (known_engine(device_, *url)) {
        co_return fail(ErrorKind::conflict, "the engine {} is known already", *url);
    }
    auto const engine = co_await device_.add_external({.url = std::move(*url), .token_file = order.token_file});
    co_return transform(engine, [](inference::ExternalEngine const& added) { return view_of(added); });
}

Task<Result<api::ExternalEngineView>> DeviceServices::test_external_engine(std::string url)
{
    auto const known = known_engine(device_, url);
    if (!known) {
        co_return std::unexpected(known.error());
    }
    auto engine = co_await device_.external().test(known->address);
    co_return transform(engine, [](inference::ExternalEngine const& tested) { return view_of(tested); });
}

Result<api::ExternalEngineView> DeviceServices::remove_external_engine(std::string url)
{
    auto const known = known_engine(device_, url);
    if (!known) {
        return std::unexpected(known.error());
    }
    if (auto const removed = device_.remove_external(known->address.url); !removed) {
        return std::unexpected(removed.error());
    }
    return view_of(*known);
}

/// Says what is there to add; what is known and away is a fault.
Task<api::CheckView> DeviceServices::external_check()
{
    auto check = api::CheckView{.name = "engines of yours", .is_good = true, .text = {}, .next = {}};
    auto known = std::size_t{0};
    for (auto const& engine : device_.external().list()) {
        ++known;
        if (!engine.is_there) {
            check.is_good = false;
            check.text += fmt::format("{} is away: {}; ", engine.address.url, engine.problem);
            check.next = fmt::format("start it, or: plexus engine rm {}", engine.address.url);
        }
    }
    check.text += fmt::format("{} known", known);
    for (auto const& [program, port] : usual_places) {
        auto const url = fmt::format("http://127.0.0.1:{}", port);
        if (port == api_port_ || known_engine(device_, url)) {
            continue;
        }
        auto const found = co_await device_.external().test({.url = url});
        if (found && !found->models.empty()) {
            check.text += fmt::format("; {} seems to run here, to use it: plexus engine add {}", program, url);
        }
    }
    co_return check;
}

}  // namespace plexus::node
