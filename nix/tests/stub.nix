# As much of nixpkgs as nix/module.nix and nix/package.nix use, so that they can be evaluated where nixpkgs cannot be had.
# Types are checked and defaults filled in as the real module system does; merging of several definitions is left out.
rec {
  lib = rec {
    inherit (builtins) attrNames concatMap concatStringsSep filter;
    hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
    optional = condition: value: if condition then [ value ] else [ ];
    optionalAttrs = condition: value: if condition then value else { };
    mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
    filterAttrs = keep: set:
      removeAttrs set (filter (name: !(keep name set.${name})) (attrNames set));
    filterAttrsRecursive = keep: set:
      builtins.mapAttrs (_: value: if builtins.isAttrs value then filterAttrsRecursive keep value else value)
        (filterAttrs keep set);
    getExe = package: "${package}/bin/${package.meta.mainProgram}";
    importTOML = file: builtins.fromTOML (builtins.readFile file);
    makeBinPath = packages: concatStringsSep ":" (map (package: "${package}/bin") packages);
    fileset = { toSource = { root, fileset }: fileset; unions = files: files; maybeMissing = file: file; };
    licenses = { mit = "MIT"; asl20 = "Apache-2.0"; };
    platforms.linux = [ "x86_64-linux" "aarch64-linux" ];

    literalExpression = text: text;
    mkOption = option: option // { _type = "option"; };
    mkEnableOption = _: mkOption { type = types.bool; default = false; };
    mkPackageOption = pkgs: name: _: mkOption { type = types.any; default = pkgs.${name}; };
    mkIf = condition: value: if condition then value else { };

    types = rec {
      any = { name = "anything"; accepts = _: true; };
      str = { name = "a string"; accepts = builtins.isString; };
      bool = { name = "a boolean"; accepts = builtins.isBool; };
      ints.positive = { name = "a positive integer"; accepts = value: builtins.isInt value && value > 0; };
      enum = words: { name = "one of ${concatStringsSep ", " words}"; accepts = value: builtins.elem value words; };
      nullOr = type: { name = "null or ${type.name}"; accepts = value: value == null || type.accepts value; };
      listOf = type: {
        name = "a list of ${type.name}";
        accepts = value: builtins.isList value && builtins.all type.accepts value;
      };
      attrsOf = type: {
        name = "a set of ${type.name}";
        accepts = value: builtins.isAttrs value && builtins.all type.accepts (builtins.attrValues value);
      };
      submodule = inner: { name = "a set"; accepts = builtins.isAttrs; inherit inner; };
    };
  };

  # Options and definitions → values, or the error that names the option.
  fill = place: options: defined:
    defined // builtins.mapAttrs
      (name: option:
        let
          here = "${place}.${name}";
          value =
            if defined ? ${name} then defined.${name}
            else option.default or (throw "${here} is not set and has no default");
        in
        if (option._type or "") != "option" then fill here option (defined.${name} or { })
        else if !option.type.accepts value then throw "${here} is not ${option.type.name}"
        else if option.type ? inner then fill here option.type.inner.options value
        else value)
      options;

  pkgs = {
    docent = { outPath = "/stub/docent"; meta.mainProgram = "docent"; };
    git = { outPath = "/stub/git"; };
    bubblewrap = { outPath = "/stub/bubblewrap"; };
    formats.toml = _: {
      type = lib.types.any;
      generate = name: value: { outPath = "/stub/${name}"; inherit value; };
    };
    runCommand = name: _: script: { outPath = "/stub/${name}"; inherit script; };
  };
}
