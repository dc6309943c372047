#include "models/foreign.h"

#include <boost/json.hpp>

#include "models/manifest.h"
#include "models/source.h"

namespace plexus::models {

namespace json = boost::json;

namespace {

using Paths = std::vector<std::filesystem::path>;

constexpr auto model_layer = std::string_view("application/vnd.ollama.image.model");
constexpr auto adapter_layer = std::string_view("application/vnd.ollama.image.adapter");

/// What is exactly `depth` names below the folder. What cannot be read is passed over.
Paths below(Disk& disk, std::filesystem::path const& folder, unsigned depth)
{
    auto level = Paths{folder};
    for (unsigned step = 0; step < depth; ++step) {
        auto next = Paths{};
        for (auto const& each : level) {
            for (auto const& name : disk.list(each).value_or(std::vector<std::string>{})) {
                if (next.size() < max_foreign_models && !name.starts_with('.')) {
                    next.push_back(each / name);
                }
            }
        }
        level = std::move(next);
    }
    return level;
}

std::string usable(std::string name)
{
    return is_usable_name(name) ? name : name_from_file(name);
}

/// "llama3.2:3b"; the usual host, namespace and tag are left out.
std::string ollama_name(std::filesystem::path const& manifest)
{
    auto const tag = manifest.filename().string();
    auto const name = manifest.parent_path();
    auto const space = name.parent_path();
    auto const host = space.parent_path().filename().string();
    auto text = host == "registry.ollama.ai" ? std::string{} : host + "/";
    text += space.filename() == "library" ? std::string{} : space.filename().string() + "/";
    return usable(text + name.filename().string() + (tag == "latest" ? std::string{} : ":" + tag));
}

ForeignModel ollama_model(Disk& disk, std::filesystem::path const& folder, std::filesystem::path const& manifest)
{
    auto model = ForeignModel{.name = ollama_name(manifest)};
    auto const layer = and_then(disk.read_file(manifest, max_foreign_manifest_bytes),
                                [](Bytes const& bytes) { return read_ollama_manifest(as_text(bytes)); });
    if (!layer) {
        model.problem = "its manifest cannot be used: " + layer.error().text;
        return model;
    }
    model.digest = layer->digest;
    model.size_bytes = layer->size_bytes;
    model.path = folder / "blobs" / ("sha256-" + layer->digest.text());
    auto const status = disk.status(model.path);
    if (!status || status->kind != FileKind::file) {
        model.problem = "its file is missing";
    } else if (status->size != layer->size_bytes) {
        model.problem = fmt::format("its file has {} bytes and not {}", status->size, layer->size_bytes);
    }
    return model;
}

ForeignModel lm_studio_model(Disk& disk, std::filesystem::path const& file)
{
    auto const shard = ShardName::parse(file.filename().string());
    auto model = ForeignModel{.name = name_from_file(shard ? shard->base + ".gguf" : file.filename().string()),
                              .path = file};
    for (std::size_t number = 1; number <= (shard ? shard->count : 1); ++number) {
        auto const status = disk.status(shard ? file.parent_path() / shard->file(number) : file);
        if (!status || status->kind != FileKind::file) {
            model.problem = shard ? fmt::format("shard {} of {} is missing", number, shard->count) : "it is no file";
            return model;
        }
        model.size_bytes += status->size;
    }
    return model;
}

bool is_model_file(std::filesystem::path const& file)
{
    auto const name = file.filename().string();
    auto const shard = ShardName::parse(name);
    return file.extension() == ".gguf" && !name.starts_with("mmproj") && (!shard || shard->number == 1);
}

}  // namespace

Result<OllamaLayer> read_ollama_manifest(std::string_view text)
{
    auto code = boost::system::error_code{};
    auto const manifest = json::parse(text, code);
    auto const* layers = !code && manifest.is_object() ? manifest.get_object().if_contains("layers") : nullptr;
    if (layers == nullptr || !layers->is_array()) {
        return fail(ErrorKind::malformed, "it lists no layers");
    }
    auto found = std::optional<OllamaLayer>{};
    for (auto const& layer : layers->get_array()) {
        auto const* object = layer.if_object();
        auto const text_of = [&](std::string_view key) {
            auto const* value = object == nullptr ? nullptr : object->if_contains(key);
            return value != nullptr && value->is_string() ? std::string_view(value->get_string()) : std::string_view{};
        };
        if (text_of("mediaType") == adapter_layer) {
            return fail(ErrorKind::malformed, "it adds an adapter to a model, which is not known here");
        }
        if (text_of("mediaType") != model_layer) {
            continue;
        }
        constexpr auto scheme = std::string_view("sha256:");
        auto const digest_text = text_of("digest");
        auto const digest = crypto::Digest32::from_text(
            digest_text.starts_with(scheme) ? digest_text.substr(scheme.size()) : std::string_view{});
        auto const* size = object->if_contains("size");
        auto unused = boost::system::error_code{};
        auto const size_bytes = size == nullptr ? 0 : size->to_number<std::uint64_t>(unused);
        if (!digest || size_bytes == 0) {
            return fail(ErrorKind::malformed, "its model has no sha256 digest or no size");
        }
        if (found) {
            return fail(ErrorKind::malformed, "it has more than one model");
        }
        found = OllamaLayer{*digest, size_bytes};
    }
    return found ? Result<OllamaLayer>(*found) : fail(ErrorKind::malformed, "it has no model");
}

Result<std::vector<ForeignModel>> find_ollama_models(Disk& disk, std::filesystem::path const& folder)
{
    if (auto const manifests = disk.list(folder / "manifests"); !manifests) {
        return fail(manifests.error().kind, "{} is no folder of Ollama that can be read: {}", folder.string(),
                    manifests.error().text);
    }
    auto models = std::vector<ForeignModel>{};
    for (auto const& manifest : below(disk, folder / "manifests", 4)) {
        models.push_back(ollama_model(disk, folder, manifest));
    }
    return models;
}

Result<std::vector<ForeignModel>> find_lm_studio_models(Disk& disk, std::filesystem::path const& folder)
{
    if (auto const publishers = disk.list(folder); !publishers) {
        return fail(publishers.error().kind, "{} is no folder of LM Studio that can be read: {}", folder.string(),
                    publishers.error().text);
    }
    auto models = std::vector<ForeignModel>{};
    for (auto const& file : below(disk, folder, 3)) {
        if (is_model_file(file)) {
            models.push_back(lm_studio_model(disk, file));
        }
    }
    return models;
}

}  // namespace plexus::models
