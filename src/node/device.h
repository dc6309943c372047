#pragma once

#include "blobs/blobs.h"
#include "catalog/catalog.h"
#include "discovery/discovery.h"
#include "host/host.h"
#include "inference/external.h"
#include "membership/membership.h"
#include "models/memory_estimate.h"
#include "models/store.h"
#include "node/config.h"
#include "node/engine_gpu.h"
#include "node/engine_sandbox.h"
#include "scheduling/scheduling.h"

namespace plexus::node {

struct DeviceOptions {
    Paths paths;
    Config config;
    std::string name;
    std::filesystem::path engine_program;
    unsigned cores = 1;
};

/// Bits of catalog::Capability.
std::uint32_t capabilities_of(models::GgufSummary const& summary);

/// One device of a mesh: one of each part, joined. Everything but the outer doors, so it also lives in a simulation.
class Device final : private inference::ModelSource {
public:
    /// Reads identity, membership log and models; makes what is missing. Errors: those of the parts, for people.
    static Result<std::unique_ptr<Device>> open(Env& env, DeviceOptions options);
    ~Device() override;

    /// Listens and begins to look for the other members. Errors: `conflict` if a port that was asked for is taken, `io`.
    Result<void> start();
    /// Ends all work in order. Must be awaited before destruction.
    Task<> stop();

    std::string const& name() const { return options_.name; }
    DeviceOptions const& options() const { return options_; }
    Env& env() { return env_; }
    Time started() const { return started_; }

    models::Store& store() { return *store_; }
    inference::Inference& inference() { return *inference_; }
    inference::ExternalEngines& external() { return *external_; }
    EngineSandbox& sandbox() { return *sandbox_; }
    EngineGpu& gpu() { return *gpu_; }
    membership::Membership& membership() { return *membership_; }
    host::Host& host() { return *host_; }
    catalog::Catalog& catalog() { return *catalog_; }
    scheduling::Scheduler& scheduler() { return *scheduler_; }
    blobs::Blobs& blobs() { return *blobs_; }
    /// Null if it is switched off.
    discovery::Discovery* discovery() { return discovery_.get(); }

    /// Bytes that all engines together may need now.
    std::uint64_t memory_for_engines() const;
    /// What an engine for the model would have, with the settings of this device, where `memory` is for all engines.
    inference::EngineShape shape_for(models::GgufSummary const& model, std::uint64_t memory) const;
    /// What a model of this device has here, or would have if it were loaded now, where `memory` is for all engines.
    inference::EngineShape shape_of(models::Model const& model, std::uint64_t memory) const;
    /// What an engine takes for a model of this device, its draft model included.
    models::MemoryEstimate estimate(models::Model const& model, inference::EngineShape shape) const;
    /// Keeps a model in memory, also after the next start, or no longer. Errors: `io`, `out_of_space` of the state file.
    Result<void> pin(inference::ModelDigest const& model, bool pinned);
    /// Whether other members get no answers here; also after the next start. Errors: those of Disk.
    Result<void> pause(bool paused);
    bool is_paused() const { return paused_; }
    /// Lets another model of this device guess tokens for a model when it is loaded next, or none; also after the next start.
    /// Errors: as above.
    Result<void> set_draft(inference::ModelDigest const& model, std::optional<inference::ModelDigest> draft);
    std::optional<inference::ModelDigest> draft_of(inference::ModelDigest const& model) const override;

    /// Makes an engine that the owner runs known, or forgets it; also after the next start. One that does not answer is
    /// not added; the models of one that is added are in the catalog. Errors: those of ExternalEngines::add and `test`,
    /// `not_found`, `io`, `out_of_space`.
    Task<Result<inference::ExternalEngine>> add_external(inference::ExternalAddress address);
    Result<void> remove_external(std::string const& url);

    /// The name of a member for people.
    std::string name_of(multiformats::PeerId const& device) const;

private:
    Device(Env& env, DeviceOptions options);

    Task<Result<std::shared_ptr<File const>>> open(inference::ModelDigest model) override;
    inference::ModelTraits traits(inference::ModelDigest const& model) const override;
    inference::GpuUse gpu_use(inference::ModelDigest const& model, inference::EngineShape shape) const override;
    std::uint64_t memory_need(inference::ModelDigest const& model, inference::EngineShape shape) const override;
    bool doubt_gpu() override { return gpu_->doubt(); }
    void judge_gpu(std::optional<Error> const& reason) override { gpu_->judge(reason); }
    std::optional<GpuShare> share_on_gpu(models::Model const& model, inference::EngineShape shape) const;
    void read_pins();
    Result<void> write_pins();
    void read_drafts();
    Result<void> write_drafts();
    void forget_drafts();
    void read_external();
    Result<void> write_external();
    Task<> load_pinned(inference::ModelDigest model);
    inference::EngineShape fitting(inference::ModelTraits const& traits, std::uint64_t memory, std::uint64_t pinned,
                                   std::function<std::uint64_t(inference::EngineShape)> const& need) const;
    void connect_parts();
    Result<void> listen();
    Result<void> listen_on(std::uint16_t port);
    void look_around();
    void members_changed();
    void publish_models();
    void publish_loaded();
    void publish_gpus();
    std::vector<std::string> forbidden_paths() const;
    inference::Options inference_options() const;

    Env& env_;
    DeviceOptions options_;
    Time started_;
    std::unique_ptr<models::Store> store_;
    std::unique_ptr<membership::Membership> membership_;
    std::unique_ptr<EngineGpu> gpu_;
    std::unique_ptr<EngineSandbox> sandbox_;
    std::unique_ptr<inference::Inference> inference_;
    std::unique_ptr<inference::ExternalEngines> external_;
    std::unique_ptr<host::Host> host_;
    std::unique_ptr<catalog::Catalog> catalog_;
    std::unique_ptr<scheduling::Runner> runner_;
    std::unique_ptr<scheduling::Scheduler> scheduler_;
    std::unique_ptr<blobs::Blobs> blobs_;
    std::unique_ptr<discovery::Discovery> discovery_;
    std::vector<inference::ModelDigest> in_memory_;  // as published
    std::map<inference::ModelDigest, inference::ModelDigest> drafts_;
    bool paused_ = false;
    TaskScope tasks_;
};

}  // namespace plexus::node
