// Trains and saves as fast as it can, until it is killed: the process of the kill trials. Every parameter of the model is the step itself,
// so that what is loaded can be told.
#include <cstdio>
#include <cstdlib>

#include <torch/torch.h>
#include <unistd.h>

#include "model/counting_model.h"
#include "vigil/model/checkpointer.h"

namespace {

void say(const char* what, unsigned long long step) {
  char text[64];
  const int bytes = std::snprintf(text, sizeof text, "%s %llu\n", what, step);
  if (write(STDOUT_FILENO, text, static_cast<std::size_t>(bytes)) != bytes) std::exit(3);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  torch::set_num_threads(1);
  vigil::CheckpointOptions options;
  options.directory = argv[1];
  options.copies = {argv[2]};
  options.keep_latest = 2;
  vigil::Checkpointer checkpoints(options);
  vigil::CountingModel model;
  torch::optim::Adam optimizer(model.parameters());
  std::uint64_t step = checkpoints.load_latest_good(model, optimizer).step;
  say("started", step);
  for (;;) {
    model.count_to(++step, optimizer);
    say("saving", step);
    const auto saved = checkpoints.save(model, optimizer, step);
    if (!saved.ok()) {
      std::fprintf(stderr, "%s\n", saved.message.c_str());
      return 1;
    }
    say("saved", step);
  }
}
