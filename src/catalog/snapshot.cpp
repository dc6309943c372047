#include "catalog/snapshot.h"

#include <cmath>

#include "multiformats/protobuf_fields.h"

namespace plexus::catalog {

namespace {

using multiformats::for_each_field;
using multiformats::ProtobufField;
using multiformats::ProtobufWriter;
using multiformats::take_number;

constexpr double thousandths = 1000;
constexpr std::uint64_t most_thousandths = 1'000'000'000'000;  // a thousand million tokens a second

namespace snapshot_field {
enum : std::uint32_t { boot_epoch = 1, sequence, version, hardware, models, running, queued, paused };
}
namespace hardware_field {
enum : std::uint32_t { processor = 1, cores, memory_bytes, free_memory_bytes, gpus };
}
namespace gpu_field {
enum : std::uint32_t { name = 1, memory_bytes };
}
namespace model_field {
enum : std::uint32_t {
    digest = 1,
    names,
    size_bytes,
    architecture,
    quantization,
    parameters,
    context_length,
    capabilities,
    created_seconds,
    loaded,
    prefill,
    decode,
    external
};
}
namespace loaded_field {
enum : std::uint32_t { slots = 1, busy, context };
}
namespace rate_field {
enum : std::uint32_t { thousandths_per_second = 1, observations };
}

/// Short printable ASCII: it stands in terminals, logs and JSON of other devices.
bool is_plain(std::string_view text)
{
    return text.size() <= max_text_bytes &&
           std::ranges::all_of(text, [](char character) { return character >= ' ' && character <= '~'; });
}

Result<void> take_text(ProtobufField const& field, std::string& target)
{
    auto const text = as_text(field.bytes);
    if (field.type != ProtobufField::Type::bytes || !is_plain(text)) {
        return fail(ErrorKind::malformed, "a text of a catalog entry is too long or not plain");
    }
    target = text;
    return {};
}

Result<void> take_flag(ProtobufField const& field, bool& target)
{
    auto number = std::uint64_t{0};
    auto taken = take_number(field, number);
    target = number != 0;
    return taken;
}

/// The bytes of a field that holds a message.
Result<ByteView> inner(ProtobufField const& field)
{
    if (field.type != ProtobufField::Type::bytes) {
        return fail(ErrorKind::malformed, "a part of a catalog entry has the wrong type");
    }
    return field.bytes;
}

template <typename T>
Result<void> take_inner(ProtobufField const& field, T& target, Result<void> (*merge)(T&, ProtobufField const&))
{
    auto const bytes = inner(field);
    if (!bytes) {
        return std::unexpected(bytes.error());
    }
    return for_each_field(*bytes, [&](ProtobufField const& part) { return merge(target, part); });
}

Result<void> merge_gpu(Gpu& gpu, ProtobufField const& field)
{
    switch (field.number) {
    case gpu_field::name: return take_text(field, gpu.name);
    case gpu_field::memory_bytes: return take_number(field, gpu.memory_bytes);
    default: return {};
    }
}

Result<void> take_gpu(ProtobufField const& field, std::vector<Gpu>& gpus)
{
    if (gpus.size() == max_gpus) {
        return fail(ErrorKind::too_large, "a device lists more than {} GPUs", max_gpus);
    }
    return take_inner(field, gpus.emplace_back(), merge_gpu);
}

Result<void> merge_hardware(Hardware& hardware, ProtobufField const& field)
{
    switch (field.number) {
    case hardware_field::processor: return take_text(field, hardware.processor);
    case hardware_field::cores: return take_number(field, hardware.cores);
    case hardware_field::memory_bytes: return take_number(field, hardware.memory_bytes);
    case hardware_field::free_memory_bytes: return take_number(field, hardware.free_memory_bytes);
    case hardware_field::gpus: return take_gpu(field, hardware.gpus);
    default: return {};
    }
}

Result<void> merge_loaded(LoadedState& loaded, ProtobufField const& field)
{
    switch (field.number) {
    case loaded_field::slots: return take_number(field, loaded.slots);
    case loaded_field::busy: return take_number(field, loaded.busy);
    case loaded_field::context: return take_number(field, loaded.context);
    default: return {};
    }
}

Result<void> merge_rate(Rate& rate, ProtobufField const& field)
{
    if (field.number == rate_field::observations) {
        return take_number(field, rate.observations);
    }
    if (field.number != rate_field::thousandths_per_second) {
        return {};
    }
    auto value = std::uint64_t{0};
    auto taken = take_number(field, value);
    if (taken && value > most_thousandths) {
        return fail(ErrorKind::malformed, "a speed of a catalog entry is not possible");
    }
    rate.per_second = static_cast<double>(value) / thousandths;
    return taken;
}

Result<void> take_digest(ProtobufField const& field, ModelDigest& target)
{
    auto digest = and_then(inner(field), [](ByteView bytes) { return ModelDigest::from_bytes(bytes); });
    if (!digest) {
        return std::unexpected(digest.error());
    }
    target = *digest;
    return {};
}

Result<void> take_name(ProtobufField const& field, std::vector<std::string>& names)
{
    if (names.size() == max_names_per_model) {
        return fail(ErrorKind::too_large, "a model has more than {} names", max_names_per_model);
    }
    return take_text(field, names.emplace_back());
}

Result<void> merge_model(Model& model, ProtobufField const& field)
{
    switch (field.number) {
    case model_field::digest: return take_digest(field, model.digest);
    case model_field::names: return take_name(field, model.names);
    case model_field::size_bytes: return take_number(field, model.size_bytes);
    case model_field::architecture: return take_text(field, model.architecture);
    case model_field::quantization: return take_text(field, model.quantization);
    case model_field::parameters: return take_number(field, model.parameters);
    case model_field::context_length: return take_number(field, model.context_length);
    case model_field::capabilities: return take_number(field, model.capabilities);
    case model_field::created_seconds: return take_number(field, model.created_seconds);
    case model_field::external: return take_flag(field, model.is_external);
    case model_field::loaded: return take_inner(field, model.loaded.emplace(), merge_loaded);
    case model_field::prefill: return take_inner(field, model.speed.prefill, merge_rate);
    case model_field::decode: return take_inner(field, model.speed.decode, merge_rate);
    default: return {};
    }
}

Result<void> take_model(ProtobufField const& field, std::vector<Model>& models)
{
    if (models.size() == max_models) {
        return fail(ErrorKind::too_large, "a device lists more than {} models", max_models);
    }
    auto& model = models.emplace_back();
    model.capabilities = 0;  // absent means none, as in all protobuf messages
    return take_inner(field, model, merge_model);
}

Result<void> merge_snapshot(Snapshot& snapshot, ProtobufField const& field)
{
    switch (field.number) {
    case snapshot_field::boot_epoch: return take_number(field, snapshot.boot_epoch);
    case snapshot_field::sequence: return take_number(field, snapshot.sequence);
    case snapshot_field::version: return take_text(field, snapshot.version);
    case snapshot_field::hardware: return take_inner(field, snapshot.hardware, merge_hardware);
    case snapshot_field::models: return take_model(field, snapshot.models);
    case snapshot_field::running: return take_number(field, snapshot.running);
    case snapshot_field::queued: return take_number(field, snapshot.queued);
    case snapshot_field::paused: return take_flag(field, snapshot.is_paused);
    default: return {};
    }
}

/// The text if it may be sent, else nothing of it.
std::string_view sendable(std::string_view text)
{
    return is_plain(text) ? text : std::string_view{};
}

Bytes encode_hardware(Hardware const& hardware)
{
    auto writer = ProtobufWriter{};
    writer.text(hardware_field::processor, sendable(hardware.processor))
        .varint(hardware_field::cores, hardware.cores)
        .varint(hardware_field::memory_bytes, hardware.memory_bytes)
        .varint(hardware_field::free_memory_bytes, hardware.free_memory_bytes);
    for (auto const& gpu : std::span(hardware.gpus).first(std::min(hardware.gpus.size(), max_gpus))) {
        auto const bytes = ProtobufWriter{}
                               .text(gpu_field::name, sendable(gpu.name))
                               .varint(gpu_field::memory_bytes, gpu.memory_bytes)
                               .take();
        writer.bytes(hardware_field::gpus, bytes);
    }
    return writer.take();
}

Bytes encode_rate(Rate const& rate)
{
    auto const limited = std::clamp(rate.per_second * thousandths, 0.0, static_cast<double>(most_thousandths));
    return ProtobufWriter{}
        .varint(rate_field::thousandths_per_second, static_cast<std::uint64_t>(std::llround(limited)))
        .varint(rate_field::observations, rate.observations)
        .take();
}

Bytes encode_model(Model const& model)
{
    auto writer = ProtobufWriter{};
    writer.bytes(model_field::digest, model.digest.bytes());
    std::size_t names = 0;
    for (auto const& name : model.names) {
        if (is_plain(name) && ++names <= max_names_per_model) {
            writer.text(model_field::names, name);
        }
    }
    writer.varint(model_field::size_bytes, model.size_bytes)
        .text(model_field::architecture, sendable(model.architecture))
        .text(model_field::quantization, sendable(model.quantization))
        .varint(model_field::parameters, model.parameters)
        .varint(model_field::context_length, model.context_length)
        .varint(model_field::capabilities, model.capabilities)
        .varint(model_field::created_seconds, model.created_seconds);
    if (model.loaded) {
        auto const loaded = ProtobufWriter{}
                                .varint(loaded_field::slots, model.loaded->slots)
                                .varint(loaded_field::busy, model.loaded->busy)
                                .varint(loaded_field::context, model.loaded->context)
                                .take();
        writer.bytes(model_field::loaded, loaded);
    }
    writer.bytes(model_field::prefill, encode_rate(model.speed.prefill));
    writer.bytes(model_field::decode, encode_rate(model.speed.decode));
    if (model.is_external) {
        writer.varint(model_field::external, 1);
    }
    return writer.take();
}

}  // namespace

Model const* Snapshot::find(ModelDigest const& digest) const
{
    auto const found = std::ranges::find(models, digest, &Model::digest);
    return found == models.end() ? nullptr : &*found;
}

Bytes encode(Snapshot const& snapshot)
{
    auto writer = ProtobufWriter{};
    writer.varint(snapshot_field::boot_epoch, snapshot.boot_epoch)
        .varint(snapshot_field::sequence, snapshot.sequence)
        .text(snapshot_field::version, sendable(snapshot.version))
        .bytes(snapshot_field::hardware, encode_hardware(snapshot.hardware));
    for (auto const& model : std::span(snapshot.models).first(std::min(snapshot.models.size(), max_models))) {
        writer.bytes(snapshot_field::models, encode_model(model));
    }
    return writer.varint(snapshot_field::running, snapshot.running)
        .varint(snapshot_field::queued, snapshot.queued)
        .varint(snapshot_field::paused, snapshot.is_paused ? 1 : 0)
        .take();
}

Result<Snapshot> decode_snapshot(ByteView message)
{
    if (message.size() > max_snapshot_bytes) {
        return fail(ErrorKind::too_large, "a catalog entry has {} bytes", message.size());
    }
    auto snapshot = Snapshot{};
    auto merged = for_each_field(message, [&](ProtobufField const& field) { return merge_snapshot(snapshot, field); });
    if (!merged) {
        return std::unexpected(merged.error());
    }
    return snapshot;
}

}  // namespace plexus::catalog
