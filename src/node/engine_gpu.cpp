#include "node/engine_gpu.h"

#include "base/log.h"
#include "base/text.h"
#include "node/engine_question.h"

namespace plexus::node {

using stream::DeviceKind;

namespace {

constexpr std::size_t longest_reason = 512;
constexpr std::uint64_t usable_tenths = 9;  // of a GPU's memory: its driver and the screen need the rest

std::string in_lower_case(std::string_view text)
{
    auto lower = std::string(text);
    std::ranges::transform(lower, lower.begin(),
                           [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
    return lower;
}

/// `of` times `share`, without overflow for the figures of models.
std::uint64_t scaled(std::uint64_t of, std::uint64_t part, std::uint64_t whole)
{
    return static_cast<std::uint64_t>(static_cast<double>(of) * static_cast<double>(part) / static_cast<double>(whole));
}

ComputeDevice const* best_gpu(ComputeDevices const& found)
{
    ComputeDevice const* best = nullptr;
    for (auto const& device : found.devices) {
        auto const rank = [](ComputeDevice const& each) { return std::pair(each.has_own_memory(), each.memory_bytes); };
        auto const is_gpu = device.kind == DeviceKind::discrete || device.kind == DeviceKind::integrated;
        if (is_gpu && (best == nullptr || rank(*best) < rank(device))) {
            best = &device;
        }
    }
    return best;
}

}  // namespace

ComputeDevice const* choose(ComputeDevices const& found, std::string_view wanted)
{
    if (wanted == "none" || wanted == "auto") {
        return wanted == "auto" ? best_gpu(found) : nullptr;
    }
    if (auto const* exact = found.find(wanted)) {
        return exact;
    }
    auto const part = in_lower_case(wanted);
    auto const match = std::ranges::find_if(
        found.devices, [&](ComputeDevice const& device) { return in_lower_case(device.name).contains(part); });
    return match == found.devices.end() ? nullptr : &*match;
}

GpuShare share_of(models::MemoryEstimate const& need, std::uint64_t layers, ComputeDevice const& device,
                  std::optional<std::uint32_t> wanted, std::uint64_t taken)
{
    auto const all = layers + 1;
    auto const divided = need.weights + need.cache;
    auto share = GpuShare{
        .layers = static_cast<std::uint32_t>(std::min<std::uint64_t>(wanted.value_or(UINT32_MAX), all)),
        .main_bytes = need.total()};
    if (!device.has_own_memory()) {
        share.main_bytes += share.layers == 0 ? 0 : driver_bytes;
        return share;
    }
    auto const usable = device.memory_bytes / 10 * usable_tenths;
    auto const room = usable - std::min(usable, taken + need.compute);
    while (share.layers > 0 && scaled(divided, share.layers, all) > room) {
        --share.layers;
    }
    if (share.layers > 0) {
        share.gpu_bytes = scaled(divided, share.layers, all) + need.compute;
        share.main_bytes = need.total() - std::min(need.total(), share.gpu_bytes) + driver_bytes;
    }
    return share;
}

EngineGpu::EngineGpu(Env& env, std::filesystem::path program, GpuWish wish)
    : env_(env), program_(std::move(program)), wish_(std::move(wish)), changed_(env.executor()), tasks_(env.executor())
{
}

void EngineGpu::start(std::function<void()> known)
{
    if (wish_.device == "none" || looking_) {
        return;
    }
    looking_ = true;
    known_ = std::move(known);
    tasks_.spawn("look for GPUs", look());
}

Task<> EngineGpu::stop()
{
    co_await tasks_.join();
}

Task<> EngineGpu::wait()
{
    while (looking_) {
        co_await changed_.wait();
    }
}

Task<std::string> EngineGpu::name_of_chosen()
{
    co_await wait();
    auto const* device = chosen();
    co_return device == nullptr ? std::string() : device->name;
}

std::string EngineGpu::problem() const
{
    auto const is_named = wish_.device != "none" && wish_.device != "auto";
    if (!fault_.empty()) {
        return fault_;
    }
    if (looking_ || !is_named || chosen() != nullptr) {
        return {};
    }
    return fmt::format("there is no GPU {} here{}", wish_.device, found_.problem.empty() ? "" : ": " + found_.problem);
}

bool EngineGpu::doubt()
{
    is_doubted_ = wish_.device == "auto";
    return is_doubted_;
}

void EngineGpu::judge(std::optional<Error> const& reason)
{
    is_doubted_ = false;
    auto const* device = chosen();
    if (!reason || device == nullptr) {
        return;
    }
    is_doubted_ = true;
    fault_ = fmt::format("no model started on {}: {}", device->name, reason->text);
    log::warning("models are computed on the processor", {{"reason", fault_}});
}

Task<> EngineGpu::look()
{
    struct Looked {
        EngineGpu& gpu;
        ~Looked()
        {
            gpu.looking_ = false;
            gpu.changed_.notify();
        }
    };
    {
        auto const looked = Looked{*this};
        auto found = co_await ask();
        found_ = found ? std::move(*found) : ComputeDevices{.problem = found.error().text};
    }
    if (auto const* device = chosen()) {
        log::info("models are computed on a GPU", {{"backend", found_.backend}, {"device", device->name}});
    } else if (auto const reason = problem(); !reason.empty()) {
        log::warning("models are computed on the processor", {{"reason", reason}});
    }
    known_();
}

Task<Result<ComputeDevices>> EngineGpu::ask() const
{
    auto options = ProcessOptions{};
    options.program = program_;
    options.arguments = {"--probe", "devices"};
    auto const frame = co_await ask_engine(env_, std::move(options));
    if (!frame) {
        co_return std::unexpected(frame.error());
    }
    if (frame->type != stream::EngineFrameType::devices) {
        co_return fail(ErrorKind::unavailable, "{}", printable_utf8(as_text(frame->payload), longest_reason));
    }
    co_return stream::parse_compute_devices(as_text(frame->payload));
}

}  // namespace plexus::node
