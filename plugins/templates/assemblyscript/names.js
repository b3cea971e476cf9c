// Gives the exports of exports.ts their names in the contract, which are no identifiers. A transform of asc.

const NAMES = {
  rejoin_realloc: "cm32p2_realloc",
  rejoin_initialize: "cm32p2_initialize",
  rejoin_describe: "cm32p2|rejoin:plugin/about@1|describe",
  rejoin_check_params: "cm32p2|rejoin:plugin/about@1|check-params",
  rejoin_resolve: "cm32p2|rejoin:plugin/resolver@1|resolve",
};

export default class {
  afterCompile(module) {
    for (const [name, nameInContract] of Object.entries(NAMES)) {
      const { value } = this.binaryen.getExportInfo(module.getExport(name));
      module.removeExport(name);
      module.addFunctionExport(value, nameInContract);
    }
    const { value } = this.binaryen.getExportInfo(module.getExport("memory"));
    module.removeExport("memory");
    module.addMemoryExport(value, "cm32p2_memory");
  }
}
