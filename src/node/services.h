#pragma once

#include "api/services.h"
#include "node/device.h"

namespace plexus::node {

/// What the API shows of a device and lets people do with it.
class DeviceServices final : private api::Answers, private api::Models, private api::Mesh, private api::Control {
public:
    /// `shut_down` ends the daemon soon after it was called. `device` must outlive this.
    DeviceServices(Device& device, std::uint16_t api_port, std::function<void()> shut_down)
        : device_(device), api_port_(api_port), shut_down_(std::move(shut_down))
    {
    }

    api::Services all() { return {*this, *this, *this, *this}; }
    std::uint16_t api_port() const { return api_port_; }

private:
    Task<Result<std::unique_ptr<api::Answer>>> start(api::InferenceTask task) override;

    std::vector<api::ModelView> list() const override;
    Task<Result<api::ModelView>> import_file(std::string path, std::string name,
                                             std::function<void(api::ImportProgress)> progress) override;
    Task<Result<api::ModelView>> remove(std::string name) override;
    api::EnginesView engines() const override;
    Task<Result<api::EngineView>> load(std::string name) override;
    Result<api::EngineView> unload(std::string name) override;
    Result<void> pin(std::string name, bool pinned) override;
    Task<Result<void>> set_draft(std::string name, std::string draft) override;
    std::string name_of_model(inference::ModelDigest const& model) const;
    std::vector<api::ExternalEngineView> external_engines() const override;
    Task<Result<api::ExternalEngineView>> add_external_engine(api::ExternalEngineOrder order) override;
    Task<Result<api::ExternalEngineView>> test_external_engine(std::string url) override;
    Result<api::ExternalEngineView> remove_external_engine(std::string url) override;
    Task<api::CheckView> external_check();
    api::EngineView engine_view(inference::LoadedModel const& model) const;
    Task<Result<api::ModelView>> pull(api::PullOrder order, api::ProgressReport progress) override;
    Task<Result<api::ModelView>> verify(std::string name, api::ProgressReport progress) override;
    Task<Result<api::ModelDetails>> details(std::string name) override;
    std::vector<api::SuggestionView> suggestions() const override;
    Result<api::PlanView> plan(std::string name, std::uint32_t length, std::uint32_t slots) const override;
    Result<std::vector<api::RouteView>> routes(api::RouteQuestion question) const override;
    Task<Result<std::vector<api::ForeignModelView>>> foreign(std::string kind, std::string folder) override;
    /// Zero in `given` means: as each device would have it.
    std::vector<api::FitView> fits(models::GgufSummary const& summary, inference::EngineShape given) const;
    Task<Result<api::ModelView>> copy(api::CopyOrder order, api::ProgressReport progress) override;
    Result<blobs::Wanted> wanted(api::CopyOrder const& order) const;

    std::vector<api::DeviceView> devices() const override;
    Result<api::DeviceView> revoke(std::string const& device) override;
    std::vector<api::InviteView> invites() const override;
    Task<Result<api::InviteView>> invite(std::string role, Duration lifetime) override;
    Result<void> withdraw(std::string const& invite_id) override;
    Result<void> decide(std::string const& invite_id, std::string const& device_id, bool lets_in) override;
    Task<Result<api::JoinView>> join(std::string link, Deadline deadline) override;

    api::StatusView status() const override;
    Task<std::vector<api::CheckView>> checks() override;
    Result<void> pause(bool paused) override { return device_.pause(paused); }
    void shut_down() override { shut_down_(); }

    Device& device_;
    std::uint16_t api_port_;
    std::function<void()> shut_down_;
    std::size_t pulls_ = 0;
};

}  // namespace plexus::node
