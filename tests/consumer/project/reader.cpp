// Reads a settings file with the component config alone. Exits 0 when it holds the defaults.
#include <vigil/config/config_reader.h>

int main(int argc, char** argv) {
  return argc == 2 && vigil::to_yaml(vigil::load_config(argv[1])) == vigil::to_yaml(vigil::Config{}) ? 0 : 1;
}
