#pragma once

#include "base/result.h"
#include "stream/compute_devices.h"

/// What this process may compute on beside the processor. Each is called at most once, before any thread is made and
/// before llama.cpp is touched; llama.cpp sees what was used here, and no other device.
namespace plexus::engine {

/// Asks the drivers of this system, which needs its files.
stream::ComputeDevices find_devices();

/// Loads the driver of the device of that name. What it needs of files is read now, all but its nodes.
/// Errors: `not_found`, `unavailable` with what the driver said.
Result<stream::ComputeDevice> use_device(std::string const& name);

/// Loads no driver.
void use_processor();

}  // namespace plexus::engine
