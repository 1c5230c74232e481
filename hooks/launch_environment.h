// What a launcher (torchrun, Slurm, Open MPI) says about this process through the environment.
#pragma once

namespace vigil {

struct LaunchEnvironment {
  int rank = 0;        ///< RANK, OMPI_COMM_WORLD_RANK or SLURM_PROCID
  int world_size = 1;  ///< WORLD_SIZE, OMPI_COMM_WORLD_SIZE or SLURM_NTASKS
  int local_rank = 0;  ///< LOCAL_RANK, OMPI_COMM_WORLD_LOCAL_RANK or SLURM_LOCALID
  int attempt = 0;     ///< TORCHELASTIC_RESTART_COUNT or SLURM_RESTART_COUNT
};

/// A variable that is not a non-negative whole number counts as not set. Reads the environment: not beside setenv(3).
LaunchEnvironment read_launch_environment();

/// Whether VIGIL_DISABLE is set to anything but "" or "0".
bool is_disabled_by_environment();

}  // namespace vigil
