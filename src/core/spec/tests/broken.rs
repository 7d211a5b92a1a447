//! Broken and hostile specs: every mistake, exactly as people read it.

use super::{changed, read};

/// What stands in the good spec, what takes its place, and the mistakes that makes.
const CASES: &[(&str, &str, &[&str])] = &[
    (
        "repositories:\n  notes",
        "repositorys:\n  notes",
        &[
            "s:1:1: the spec: repositories is missing",
            "s:9:1: the spec: unknown key \"repositorys\" (did you mean \"repositories\"?)",
            "s:15:11: selected_notebooks.all: repo \"notes\" is none of the repositories",
        ],
    ),
    (
        "system:\n",
        "sistem:\n",
        &[
            "s:1:1: the spec: system is missing",
            "s:21:1: the spec: unknown key \"sistem\" (did you mean \"system\"?)",
        ],
    ),
    ("  image_name: Alpha 1.0\n", "", &["s:1:1: image_spec_header: image_name is missing"]),
    (
        "  deployment_name: wrangler\n",
        "  deployment_nam: wrangler\n",
        &[
            "s:1:1: image_spec_header: deployment_name is missing",
            "s:3:3: image_spec_header: unknown key \"deployment_nam\" (did you mean \"deployment_name\"?)",
        ],
    ),
    ("  valid_on: '2026-01-01'\n", "  valid_on:\n", &["s:6:3: image_spec_header: valid_on has no value"]),
    (
        "  expires_on: '2026-12-31'\n",
        "  expires_on: ''\n",
        &["s:7:15: image_spec_header: expires_on is empty"],
    ),
    ("  kernel_name: alpha\n", "", &["s:1:1: image_spec_header: kernel_name is missing"]),
    (
        "  python_version: '3.12'\n",
        "",
        &[
            "s:1:1: image_spec_header: nothing says which environment: give python_version here, a second YAML document, or environment_spec",
        ],
    ),
    (
        "  image_name: Alpha 1.0\n",
        "  image_name: [Alpha]\n",
        &["s:2:15: image_spec_header: image_name must be one value, no list and no map"],
    ),
    (
        "image_spec_header:\n  image_name: Alpha 1.0\n",
        "image_spec_header: Alpha\nheader:\n  image_name: Alpha 1.0\n",
        &[
            "s:1:20: image_spec_header must be a map: lines of `key: value`",
            "s:2:1: the spec: unknown key \"header\"",
        ],
    ),
    (
        "Alpha 1.0",
        ".Alpha",
        &[
            "s:2:15: image_spec_header: image_name \".Alpha\" must begin with two letters, digits, `_` or `-`; the second may be `.`",
        ],
    ),
    (
        "Alpha 1.0",
        "A",
        &[
            "s:2:15: image_spec_header: image_name \"A\" must begin with two letters, digits, `_` or `-`; the second may be `.`",
        ],
    ),
    (
        "Alpha 1.0",
        "Alpha/1.0",
        &[
            "s:2:15: image_spec_header: image_name \"Alpha/1.0\" must be made of letters, digits, blanks, `_`, `.` and `-`: it becomes a tag",
        ],
    ),
    (
        "Alpha 1.0",
        "Alphä",
        &[
            "s:2:15: image_spec_header: image_name \"Alphä\" must be made of letters, digits, blanks, `_`, `.` and `-`: it becomes a tag",
        ],
    ),
    (
        "'2026-01-01'",
        "the first of May",
        &["s:6:13: image_spec_header: \"the first of May\" cannot be a part of a tag; write a date"],
    ),
    (
        "  kernel_name: alpha\n",
        "  kernel_name: ../../alpha\n",
        &[
            "s:4:16: image_spec_header: kernel_name \"../../alpha\" must be made of letters, digits, `_`, `.` and `-`, the first one no `.` and no `-`",
        ],
    ),
    (
        "deployment_name: wrangler",
        "deployment_name: ../wrangler",
        &[
            "s:3:20: image_spec_header: deployment_name \"../wrangler\" must be made of letters, digits, `_`, `.` and `-`, the first one no `.` and no `-`",
        ],
    ),
    (
        "'3.12'",
        "latest",
        &["s:8:19: image_spec_header: python_version \"latest\" is no version such as 3.12"],
    ),
    (
        "'3.12'",
        "'3.12 --index-url x'",
        &["s:8:19: image_spec_header: python_version \"3.12 --index-url x\" is no version such as 3.12"],
    ),
    (
        "repositories:\n",
        "environment_spec: {uri: environment.yml}\nrepositories:\n",
        &[
            "s:9:1: the spec: the environment is given more than once; keep one of: python_version here, a second YAML document, or environment_spec",
        ],
    ),
    (
        "  kernel_name: alpha\n  display_name: Alpha\n  valid_on: '2026-01-01'\n  expires_on: '2026-12-31'\n  python_version: '3.12'\n",
        "  display_name: Alpha\n  valid_on: '2026-01-01'\n  expires_on: '2026-12-31'\nenvironment_spec: {uri: ../../etc/passwd}\n",
        &[
            "s:7:25: environment_spec: uri \"../../etc/passwd\" leads out of its folder with `..`; give a path below the spec's folder",
        ],
    ),
    (
        "  kernel_name: alpha\n  display_name: Alpha\n  valid_on: '2026-01-01'\n  expires_on: '2026-12-31'\n  python_version: '3.12'\n",
        "  display_name: Alpha\n  valid_on: '2026-01-01'\n  expires_on: '2026-12-31'\nenvironment_spec: {uri: e.yml, repo: notes}\n",
        &["s:7:1: environment_spec: uri cannot stand next to repo or path; keep one of them"],
    ),
    (
        "  kernel_name: alpha\n  display_name: Alpha\n  valid_on: '2026-01-01'\n  expires_on: '2026-12-31'\n  python_version: '3.12'\n",
        "  display_name: Alpha\n  valid_on: '2026-01-01'\n  expires_on: '2026-12-31'\nenvironment_spec: {repo: nothing, path: /e.yml}\n",
        &[
            "s:7:26: environment_spec: repo \"nothing\" is none of the repositories",
            "s:7:41: environment_spec: path \"/e.yml\" is no relative path; give a path in the repository",
        ],
    ),
    (
        "  kernel_name: alpha\n  display_name: Alpha\n  valid_on: '2026-01-01'\n  expires_on: '2026-12-31'\n  python_version: '3.12'\n",
        "  display_name: Alpha\n  valid_on: '2026-01-01'\n  expires_on: '2026-12-31'\nenvironment_spec: {repo: notes}\n",
        &["s:7:1: environment_spec: give either uri, or both repo and path"],
    ),
    (
        "  display_name: Alpha\n  valid_on: '2026-01-01'\n  expires_on: '2026-12-31'\n  python_version: '3.12'\n",
        "  display_name: Alpha\n  valid_on: '2026-01-01'\n  expires_on: '2026-12-31'\nenvironment_spec: {uri: e.yml, sha: 1}\n",
        &[
            "s:4:3: image_spec_header: kernel_name must not be given: the name in the environment file is the kernel's",
        ],
    ),
    (
        "  spi:\n    repo: https://github.com/example/images.git\n",
        "  spi:\n    repo: https://github.com/example/images.git\n---\nname: x\n",
        &[
            "s:26:1: the spec: the environment is given more than once; keep one of: python_version here, a second YAML document, or environment_spec",
        ],
    ),
    (
        "  spi:\n    repo: https://github.com/example/images.git\n",
        "  spi:\n    repo: https://github.com/example/images.git\n---\n- x\n---\nthird\n",
        &[
            "s:26:1: the spec: the environment is given more than once; keep one of: python_version here, a second YAML document, or environment_spec",
            "s:28:1: there are more than two YAML documents; a spec has one, and one more for an environment",
        ],
    ),
    ("    url: https://github.com/example/notes.git\n", "", &["s:10:3: repositories.notes: url is missing"]),
    (
        "    ref: main\n",
        "    ref: main\n    branch: main\n",
        &["s:13:5: repositories.notes: unknown key \"branch\""],
    ),
    (
        "    ref: main\n",
        "    ref: --upload-pack=evil\n",
        &[
            "s:12:10: repositories.notes: ref \"--upload-pack=evil\" begins with `-`, which git takes for an option",
        ],
    ),
    (
        "    ref: main\n",
        "    ref: a..b\n",
        &["s:12:10: repositories.notes: ref \"a..b\" holds what git allows in no name"],
    ),
    (
        "    ref: main\n",
        "    ref: ${TAG}\n",
        &[
            "s:12:10: repositories.notes: ref needs the variable \"TAG\", which has no value here: write ${NAME:-default}, or ask the operator",
        ],
    ),
    (
        "    ref: main\n",
        "    ref: [main]\n",
        &["s:12:10: repositories.notes: ref must be one value, no list and no map"],
    ),
    (
        "https://github.com/example/notes.git",
        "--upload-pack=touch x",
        &[
            "s:11:10: repositories.notes: url \"--upload-pack=touch x\" begins with `-`, which git takes for an option",
        ],
    ),
    (
        "https://github.com/example/notes.git",
        "https://github.com/example/..",
        &[
            "s:11:10: repositories.notes: url \"https://github.com/example/..\" must end in the name of a repository: letters, digits, `_`, `.` and `-`",
        ],
    ),
    (
        "https://github.com/example/notes.git",
        "'https://github.com/example/a b'",
        &[
            "s:11:10: repositories.notes: url \"https://github.com/example/a b\" holds blanks or control characters",
        ],
    ),
    (
        "  notes:\n    url",
        "  - notes:\n    url",
        &[
            "s:10:3: repositories must be a map: lines of `key: value`",
            "s:15:11: selected_notebooks.all: repo \"notes\" is none of the repositories",
        ],
    ),
    (
        "    url: https://github.com/example/notes.git\n    ref: main\n",
        "    https://github.com/example/notes.git\n",
        &[
            "s:11:5: repositories.notes must be a map: lines of `key: value`",
            "s:14:11: selected_notebooks.all: repo \"notes\" is none of the repositories",
        ],
    ),
    (
        "    repo: notes\n",
        "    repo: note\n",
        &[
            "s:15:11: selected_notebooks.all: repo \"note\" is none of the repositories (did you mean \"notes\"?)",
        ],
    ),
    ("    repo: notes\n", "", &["s:14:3: selected_notebooks.all: repo is missing"]),
    (
        "    include_subdirs:\n      - .\n",
        "",
        &["s:14:3: selected_notebooks.all: include_subdirs is missing"],
    ),
    (
        "    include_subdirs:\n      - .\n",
        "    include_subdirs: .\n",
        &["s:17:22: selected_notebooks.all: include_subdirs must be a list: lines of `- item`"],
    ),
    (
        "      - .\n",
        "      - (?=alpha)\n",
        &[
            "s:18:9: selected_notebooks.all: include_subdirs \"(?=alpha)\": at character 1: looking around, `(?=`, `(?!`, `(?<=` and `(?<!`, cannot be used; use exclude_subdirs",
        ],
    ),
    (
        "      - .\n",
        "      - (?<!a)b\n",
        &[
            "s:18:9: selected_notebooks.all: include_subdirs \"(?<!a)b\": at character 1: looking around, `(?=`, `(?!`, `(?<=` and `(?<!`, cannot be used; use exclude_subdirs",
        ],
    ),
    (
        "      - .\n",
        "      - (a)\\1\n",
        &[
            "s:18:9: selected_notebooks.all: include_subdirs \"(a)\\\\1\": at character 4: references back to a group cannot be used; write the alternatives out",
        ],
    ),
    (
        "      - .\n",
        "      - (?P=name)\n",
        &[
            "s:18:9: selected_notebooks.all: include_subdirs \"(?P=name)\": at character 1: references back to a group cannot be used; write the alternatives out",
        ],
    ),
    (
        "      - .\n",
        "      - a++\n",
        &[
            "s:18:9: selected_notebooks.all: include_subdirs \"a++\": at character 3: repetitions that give nothing back (`*+`) cannot be used; leave out the `+`",
        ],
    ),
    (
        "      - .\n",
        "      - '*.ipynb'\n",
        &[
            "s:18:9: selected_notebooks.all: include_subdirs \"*.ipynb\": at character 1: there is nothing to repeat; write a backslash before it if the sign is meant",
        ],
    ),
    (
        "      - .\n",
        "      - '[abc'\n",
        &[
            "s:18:9: selected_notebooks.all: include_subdirs \"[abc\": at character 1: this `[` is not closed; write `]` behind the signs, or `\\[`",
        ],
    ),
    (
        "      - .\n",
        "      - (alpha\n",
        &[
            "s:18:9: selected_notebooks.all: include_subdirs \"(alpha\": this is no regular expression: unclosed group",
        ],
    ),
    (
        "      - .\n",
        "      - '(?i)a(?x)b'\n",
        &[
            "s:18:9: selected_notebooks.all: include_subdirs \"(?i)a(?x)b\": at character 6: of groups that begin with `(?`, only `(?:`, `(?P<name>`, and the flags i, m and s can be used; flags for all stand at the begin",
        ],
    ),
    (
        "      - .\n",
        "      - '\\q'\n",
        &[
            "s:18:9: selected_notebooks.all: include_subdirs \"\\\\q\": at character 1: `\\q` means nothing to Python; leave out the backslash",
        ],
    ),
    (
        "      - .\n",
        "      - (((a{1,500}){1,500}){1,500})\n",
        &[
            "s:18:9: selected_notebooks.all: include_subdirs \"(((a{1,500}){1,500}){1,500})\": the pattern needs too much memory; repeat less",
        ],
    ),
    (
        "      - .\n",
        "      -\n",
        &["s:18:8: selected_notebooks.all: include_subdirs holds an item without a value; remove it"],
    ),
    (
        "      - .\n",
        "      - {a: b}\n",
        &["s:18:9: selected_notebooks.all: include_subdirs must hold texts, no lists and no maps"],
    ),
    (
        "    include_subdirs:\n",
        "    exclude: [a]\n    include_subdirs:\n",
        &["s:17:5: selected_notebooks.all: unknown key \"exclude\" (did you mean \"exclude_subdirs\"?)"],
    ),
    (
        "root_directory: notebooks/",
        "root_directory: ../notes",
        &[
            "s:16:21: selected_notebooks.all: root_directory \"../notes\" leads out of its folder with `..`; give a folder of the repository",
        ],
    ),
    (
        "root_directory: notebooks/",
        "root_directory: /etc",
        &[
            "s:16:21: selected_notebooks.all: root_directory \"/etc\" is no relative path; give a folder of the repository",
        ],
    ),
    (
        "  - numpy\n",
        "  - numpy\n  - [scipy]\n",
        &["s:21:5: the spec: extra_pip_packages must hold texts, no lists and no maps"],
    ),
    (
        "  - numpy\n",
        "  numpy: '1'\n",
        &["s:20:3: the spec: extra_pip_packages must be a list: lines of `- item`"],
    ),
    (
        "extra_pip_packages:\n  - numpy\n",
        "extra_pip_packages: numpy\n",
        &["s:19:21: the spec: extra_pip_packages must be a list: lines of `- item`"],
    ),
    (
        "extra_pip_packages:\n",
        "environment_vars:\n  MY-VAR: a\nextra_pip_packages:\n",
        &[
            "s:20:3: environment_vars: \"MY-VAR\" cannot be the name of a variable: take 1 to 64 letters, digits and `_`",
        ],
    ),
    (
        "extra_pip_packages:\n",
        "environment_vars:\n  EMPTY:\nextra_pip_packages:\n",
        &["s:20:3: environment_vars: \"EMPTY\" has no value; write '' for an empty one"],
    ),
    (
        "extra_pip_packages:\n",
        "test_environment_vars:\n  LINES: \"a\\nb\"\nextra_pip_packages:\n",
        &["s:20:10: test_environment_vars: the value of \"LINES\" holds a line break; write it in one line"],
    ),
    (
        "extra_pip_packages:\n",
        "environment_vars: [A]\nextra_pip_packages:\n",
        &["s:19:19: environment_vars must be a map: lines of `key: value`"],
    ),
    ("  spec_version: '2.3'\n", "", &["s:21:1: system: spec_version is missing"]),
    (
        "  spec_version: '2.3'\n",
        "  spec_version: two\n",
        &["s:22:17: system: spec_version \"two\" is no number"],
    ),
    ("  spi:\n    repo: https://github.com/example/images.git\n", "", &["s:21:1: system: spi is missing"]),
    (
        "  spi:\n    repo: https://github.com/example/images.git\n",
        "  spi:\n    ref: main\n",
        &["s:23:3: system.spi: repo is missing"],
    ),
    (
        "  spi:\n    repo: https://github.com/example/images.git\n",
        "  spi: https://github.com/example/images.git\n",
        &["s:23:8: system.spi must be a map: lines of `key: value`"],
    ),
    (
        "  spec_version: '2.3'\n",
        "  spec_version: '2.3'\n  nb-wrangler:\n    ref: main\n",
        &["s:23:3: system.nb-wrangler: repo is missing"],
    ),
    (
        "  spec_version: '2.3'\n",
        "  spec_version: '2.3'\n  commands: {shell: bash}\n",
        &["s:23:14: system.commands: unknown key \"shell\""],
    ),
    (
        "  spec_version: '2.3'\n",
        "  spec_version: '2.3'\n  spec_sha: abc\n",
        &["s:23:3: system: unknown key \"spec_sha\" (did you mean \"spec_sha256\"?)"],
    ),
    (
        "extra_pip_packages:\n",
        "refdata_dependencies:\nextra_pip_packages:\n",
        &["s:19:1: refdata_dependencies must be a map: lines of `key: value`"],
    ),
    (
        "extra_pip_packages:\n",
        "refdata_dependencies:\n  install_file: {}\nextra_pip_packages:\n",
        &["s:20:3: refdata_dependencies: unknown key \"install_file\" (did you mean \"install_files\"?)"],
    ),
    (
        "extra_pip_packages:\n",
        "refdata_dependencies:\n  install_files:\nextra_pip_packages:\n",
        &["s:20:3: refdata_dependencies.install_files must be a map: lines of `key: value`"],
    ),
    (
        "extra_pip_packages:\n",
        "refdata_dependencies:\n  install_files:\n    data:\n      environment_variable: DATA\n      install_path: ${HOME}/data\n      data_path: d\n      data_url: [https://example.org/d.tgz]\nextra_pip_packages:\n",
        &["s:21:5: refdata_dependencies.install_files.data: version is missing"],
    ),
    (
        "extra_pip_packages:\n",
        "refdata_dependencies:\n  install_files:\n    data:\n      version: 1.0\n      environment_variable: DA-TA\n      install_path: ${HOME}/data\n      data_path: d\n      data_url: [https://example.org/d.tgz]\nextra_pip_packages:\n",
        &[
            "s:23:29: refdata_dependencies.install_files.data: \"DA-TA\" cannot be the name of a variable: take 1 to 64 letters, digits and `_`",
        ],
    ),
    (
        "extra_pip_packages:\n",
        "refdata_dependencies:\n  install_files:\n    data:\n      version: 1.0\n      environment_variable: DATA\n      install_path: /data\n      data_path: d\n      data_url: [https://example.org/d.tgz]\nextra_pip_packages:\n",
        &[
            "s:24:21: refdata_dependencies.install_files.data: install_path \"/data\" must be relative, of letters, digits, `_` and `.`, without `..`; only its first part may be a variable",
        ],
    ),
    (
        "extra_pip_packages:\n",
        "refdata_dependencies:\n  install_files:\n    data:\n      version: 1.0\n      environment_variable: DATA\n      install_path: ${HOME}/../data\n      data_path: d\n      data_url: [https://example.org/d.tgz]\nextra_pip_packages:\n",
        &[
            "s:24:21: refdata_dependencies.install_files.data: install_path \"${HOME}/../data\" must be relative, of letters, digits, `_` and `.`, without `..`; only its first part may be a variable",
        ],
    ),
    (
        "extra_pip_packages:\n",
        "refdata_dependencies:\n  install_files:\n    data:\n      version: 1.0\n      environment_variable: DATA\n      install_path: ${HOME}/my-data\n      data_path: d\n      data_url: [https://example.org/d.tgz]\nextra_pip_packages:\n",
        &[
            "s:24:21: refdata_dependencies.install_files.data: install_path \"${HOME}/my-data\" must be relative, of letters, digits, `_` and `.`, without `..`; only its first part may be a variable",
        ],
    ),
    (
        "extra_pip_packages:\n",
        "refdata_dependencies:\n  install_files:\n    data:\n      version: 1.0\n      environment_variable: DATA\n      install_path: ${HOME}/data\n      data_path: d\n      data_url: [gopher://example.org/d.tgz]\nextra_pip_packages:\n",
        &[
            "s:26:18: refdata_dependencies.install_files.data: data_url gopher://example.org/d.tgz is no http, https, ftp, s3 or file address with a host",
        ],
    ),
    (
        "extra_pip_packages:\n",
        "refdata_dependencies:\n  install_files:\n    data:\n      version: 1.0\n      environment_variable: DATA\n      install_path: ${HOME}/data\n      data_path: d\n      data_url: [file:///d.tgz]\nextra_pip_packages:\n",
        &[
            "s:26:18: refdata_dependencies.install_files.data: data_url file:///d.tgz is no http, https, ftp, s3 or file address with a host",
        ],
    ),
    (
        "extra_pip_packages:\n",
        "refdata_dependencies:\n  install_files:\n    data:\n      version: 1.0\n      environment_variable: DATA\n      install_path: ${HOME}/data\n      data_url: [https://example.org/d.tgz]\nextra_pip_packages:\n",
        &[
            "s:21:5: refdata_dependencies.install_files.data: data_path is missing; write '' if the archives make no folder",
        ],
    ),
    (
        "extra_pip_packages:\n",
        "refdata_dependencies:\n  install_files:\n    data:\n      version: 1.0\n      environment_variable: DATA\n      install_path: ${HOME}/data\n      data_path: d\n      sha256: x\n      data_url: [https://example.org/d.tgz]\nextra_pip_packages:\n",
        &["s:26:7: refdata_dependencies.install_files.data: unknown key \"sha256\""],
    ),
    (
        "extra_pip_packages:\n",
        "refdata_dependencies:\n  other_variables: {A: 1, 'B C': 2}\nextra_pip_packages:\n",
        &[
            "s:20:27: refdata_dependencies.other_variables: \"B C\" cannot be the name of a variable: take 1 to 64 letters, digits and `_`",
        ],
    ),
    (
        "extra_pip_packages:\n",
        "dev_overrides: {image_spec_header: {image_name: x}}\nextra_pip_packages:\n",
        &["s:19:17: dev_overrides: unknown key \"image_spec_header\""],
    ),
    (
        "extra_pip_packages:\n",
        "dev_overrides: {system: {spec_version: 1}}\nextra_pip_packages:\n",
        &["s:19:26: dev_overrides.system: unknown key \"spec_version\""],
    ),
    (
        "extra_pip_packages:\n",
        "deactivated_dev_overrides: {system: {spi: {branch: x}}}\nextra_pip_packages:\n",
        &["s:19:44: deactivated_dev_overrides.system.spi: unknown key \"branch\""],
    ),
    (
        "extra_pip_packages:\n",
        "dev_overrides: [x]\nextra_pip_packages:\n",
        &["s:19:16: dev_overrides must be a map: lines of `key: value`"],
    ),
    (
        "extra_pip_packages:\n",
        "assets: {repo: x}\nextra_pip_packages:\n",
        &["s:19:9: the spec: assets must be a list: lines of `- item`"],
    ),
    (
        "extra_pip_packages:\n",
        "assets:\n  - repo: https://github.com/e/a.git\n    source: ../../etc\n    destination: /opt\nextra_pip_packages:\n",
        &["s:21:13: assets, item 1: source \"../../etc\" leads out of its repository"],
    ),
    (
        "    ref: main\n",
        "    ref: main\n    ref: dev\n",
        &["s:13:5: the key \"ref\" stands here a second time; keep one of them"],
    ),
    (
        "    ref: main\n",
        "    ref: *nowhere\n",
        &["s:12:10: this is no YAML: while parsing node, found unknown anchor"],
    ),
    (
        "    ref: main\n",
        "   ref: main\n",
        &["s:12:4: this is no YAML: while parsing a block mapping, did not find expected key"],
    ),
    (
        "    ref: main\n",
        "    ref: 'main\n",
        &["s:22:18: this is no YAML: invalid trailing content after single-quoted scalar"],
    ),
    (
        "    ref: main\n",
        "\tref: main\n",
        &["s:11:10: this is no YAML: while scanning a plain scalar, found a tab"],
    ),
    (
        "    ref: main\n",
        "    ref: !!python/object/apply:os.system [id]\n",
        &[
            "s:12:42: repositories.notes: ref must be one value, no list and no map",
            "s:12:42: the tag \"!!python/object/apply:os.system\" means nothing here; remove it",
        ],
    ),
    (
        "    ref: main\n",
        "    ref: main\u{7}\n",
        &["s:12:14: the character '\\u{7}' must not stand in YAML; remove it"],
    ),
    ("    ref: main\n", "    [a, b]: main\n", &["s:12:5: a key must be a text, no list and no map"]),
    (
        "    ref: main\n",
        "    ref: &a [*a]\n",
        &["s:12:14: this alias stands inside of what it repeats; write the value out"],
    ),
    (
        "    ref: main\n",
        "    \"a\\u001b[31m\\u202e\": main\n",
        &["s:12:5: repositories.notes: unknown key \"a\\u{1b}[31m\\u{202e}\""],
    ),
    (
        "extra_pip_packages:\n",
        "x: &a0 [a,a,a,a,a,a,a,a,a,a]\nx1: &a1 [*a0,*a0,*a0,*a0,*a0,*a0,*a0,*a0,*a0,*a0]\nx2: &a2 [*a1,*a1,*a1,*a1,*a1,*a1,*a1,*a1,*a1,*a1]\nx3: &a3 [*a2,*a2,*a2,*a2,*a2,*a2,*a2,*a2,*a2,*a2]\nx4: &a4 [*a3,*a3,*a3,*a3,*a3,*a3,*a3,*a3,*a3,*a3]\nx5: &a5 [*a4,*a4,*a4,*a4,*a4,*a4,*a4,*a4,*a4,*a4]\nx6: &a6 [*a5,*a5,*a5,*a5,*a5,*a5,*a5,*a5,*a5,*a5]\nx7: &a7 [*a6,*a6,*a6,*a6,*a6,*a6,*a6,*a6,*a6,*a6]\nextra_pip_packages:\n",
        &["s:23:9: there are more than 200000 values, with all aliases written out"],
    ),
];

/// Whole files, and their mistakes.
const FILES: &[(&str, &[&str])] = &[
    ("", &["s:1:1: the file holds no spec"]),
    ("# nothing\n", &["s:1:1: the file holds no spec"]),
    ("- a\n", &["s:1:1: the spec must be a map: lines of `key: value`"]),
    ("text\n", &["s:1:1: the spec must be a map: lines of `key: value`"]),
    ("---\n...\n", &["s:1:1: the file holds no spec"]),
    (
        "a: b\n: c: d\n",
        &[
            "s:1:1: the spec: image_spec_header is missing",
            "s:1:1: the spec: repositories is missing",
            "s:1:1: the spec: system is missing",
            "s:1:1: the spec: unknown key \"a\"",
            "s:2:1: the spec: unknown key \"~\"",
        ],
    ),
    ("\u{0}", &["s:1:1: the character '\\0' must not stand in YAML; remove it"]),
    (
        "%YAML 1.2\n---\n{}\n",
        &[
            "s:3:1: the spec: image_spec_header is missing",
            "s:3:1: the spec: repositories is missing",
            "s:3:1: the spec: system is missing",
        ],
    ),
    (
        "{}\n",
        &[
            "s:1:1: the spec: image_spec_header is missing",
            "s:1:1: the spec: repositories is missing",
            "s:1:1: the spec: system is missing",
        ],
    ),
];

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let reading = read(text);
    let told: Vec<String> = reading.mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(told, expected, "\n{text}");
    assert!(reading.spec.is_none());
}

#[test]
fn each_mistake_is_told_with_its_place() {
    assert!(CASES.len() + FILES.len() > 100);
    for (old, new, expected) in CASES {
        check(&changed(old, new), expected);
    }
    for (text, expected) in FILES {
        check(text, expected);
    }
}

#[test]
fn mistakes_of_all_parts_are_told_at_once() {
    let text =
        changed("    ref: main\n", "    ref: -x\n").replace("- numpy", "- [numpy]").replace("'2.3'", "x");
    check(
        &text,
        &[
            "s:12:10: repositories.notes: ref \"-x\" begins with `-`, which git takes for an option",
            "s:20:5: the spec: extra_pip_packages must hold texts, no lists and no maps",
            "s:22:17: system: spec_version \"x\" is no number",
        ],
    );
}

#[test]
fn a_long_image_name_is_no_tag() {
    check(
        &changed("Alpha 1.0", &"a".repeat(110)),
        &[&format!(
            "s:2:15: image_spec_header: image_name \"{}…\" is too long: with prefix, days and run number a tag has at most 128 signs",
            "a".repeat(79)
        )],
    );
    assert!(read(&changed("Alpha 1.0", &"a".repeat(80))).mistakes.is_empty());
}

#[test]
fn what_is_too_deep_too_large_or_too_much_is_refused_at_once() {
    let deep = "lists and maps stand more than 64 deep in each other";
    let with = |value: &str| changed("extra_pip_packages:\n", &format!("x: {value}\nextra_pip_packages:\n"));
    check(&with(&format!("{}{}", "[".repeat(80), "]".repeat(80))), &[&format!("s:19:67: {deep}")]);
    check(&with(&format!("{}{}", "{a: ".repeat(80), "}".repeat(80))), &[&format!("s:19:256: {deep}")]);
    check(&with(&"[".repeat(100_000)), &[&format!("s:19:259: {deep}")]);
    let mut bomb = "&a0 [a,a,a,a,a,a,a,a,a,a]\n".to_owned();
    for step in 1..8 {
        let inner = vec![format!("*a{}", step - 1); 10].join(",");
        bomb += &format!("x{step}: &a{step} [{inner}]\n");
    }
    check(&with(&bomb), &["s:23:9: there are more than 200000 values, with all aliases written out"]);
    let many = format!("[&a {}, {}]", "long".repeat(30_000), vec!["*a"; 900].join(", "));
    let told = read(&with(&many)).mistakes;
    assert!(told[0].text.contains("MiB of text"), "{told:?}");
    let aliases = format!("[&a b, {}]", vec!["*a"; 1001].join(", "));
    assert!(read(&with(&aliases)).mistakes[0].text.contains("more than 1000 aliases"));
    let large = "a".repeat(50 << 20);
    check(&large, &["s:1:1: the file has 52428800 bytes, and at most 4 MiB are read"]);
}

/// Names stand in messages outside of quotes; no terminal obeys them there.
#[test]
fn names_in_messages_are_neutral() {
    check(
        &changed(
            "  notes:\n    url",
            "  \"\\e[2J\\u202e\":\n    x: 1\n    url: https://github.com/a/b\n  notes:\n    url",
        ),
        &["s:11:5: repositories.\\u{1b}[2J\\u{202e}: unknown key \"x\""],
    );
}

#[test]
fn patterns_are_counted_before_any_is_made() {
    let list = vec!["'\\w{40}'"; 301].join(", ");
    check(
        &changed("    include_subdirs:\n      - .\n", &format!("    include_subdirs: [{list}]\n")),
        &["s:13:1: selected_notebooks: there are 301 patterns in all, and at most 300 are taken"],
    );
}

/// Each of these took a time that grows with the square of their length in some reader.
#[test]
fn a_full_file_of_anything_is_read_in_time_that_grows_with_it() {
    let size = 1 << 18;
    for (begin, piece) in [
        ("", "a: b\n"),
        ("", "? "),
        ("", "- "),
        ("", "a\n"),
        ("", "{"),
        ("", "'"),
        ("", "&a "),
        ("", "*a "),
        ("", "#\n"),
        ("", "---\n"),
        ("x: \"", "\\u0041"),
        ("x: |\n", " a\n"),
        ("x: ", "a "),
        ("x: [", "a, "),
        ("x: {", "a, "),
        ("repositories: {r: {url: u, ref: \"", "${a:-"),
        ("a: 1\n", "a: 1\n"),
        ("<<: {a: 1}\n", "<<: {a: 1}\n"),
        ("selected_notebooks:\n", " a: {repo: b, include_subdirs: []}\n"),
    ] {
        let mut text = begin.to_owned();
        while text.len() < size {
            text += piece;
        }
        read(&text);
        read(&(text + "\"}}\n"));
    }
    // Every key another one, in the spec and in what is laid over it.
    let names = |value: &str| (0..15_000).map(|n| format!("  k{n}: {value}\n")).collect::<String>();
    let variables = format!("environment_vars:\n{0}dev_overrides:\n environment_vars:\n{0}", names("v"));
    read(&changed("extra_pip_packages:\n", &format!("{variables}extra_pip_packages:\n")));
    read(&format!("repositories:\n{0}selected_notebooks:\n{0}", names("{repo: x, url: y}")));
}
