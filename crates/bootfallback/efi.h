/* The few declarations of UEFI 2.10 that bootfallback.c uses, written from the specification.
 *
 * Tables are declared in full up to the last member used; members that are not called are `void *`,
 * so that calling one by mistake does not compile. Only for x86-64, where EFIAPI is the compiler's
 * own calling convention for the target x86_64-unknown-windows.
 */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef u64 efi_status;
typedef void *efi_handle;
typedef void *efi_event;

_Static_assert(sizeof(void *) == 8, "x86-64 only");
_Static_assert(sizeof(L'x') == 2, "compile with -fshort-wchar");

/* Appendix D: errors have the top bit set. */
#define EFI_ERROR_BIT (1ULL << 63)
#define EFI_IS_ERROR(status) (((status) & EFI_ERROR_BIT) != 0)
#define EFI_SUCCESS 0ULL
#define EFI_LOAD_ERROR (EFI_ERROR_BIT | 1)
#define EFI_INVALID_PARAMETER (EFI_ERROR_BIT | 2)
#define EFI_UNSUPPORTED (EFI_ERROR_BIT | 3)
#define EFI_BUFFER_TOO_SMALL (EFI_ERROR_BIT | 5)
#define EFI_DEVICE_ERROR (EFI_ERROR_BIT | 7)
#define EFI_OUT_OF_RESOURCES (EFI_ERROR_BIT | 9)
#define EFI_VOLUME_CORRUPTED (EFI_ERROR_BIT | 10)
#define EFI_NO_MEDIA (EFI_ERROR_BIT | 12)
#define EFI_NOT_FOUND (EFI_ERROR_BIT | 14)
#define EFI_ACCESS_DENIED (EFI_ERROR_BIT | 15)
#define EFI_TIMEOUT (EFI_ERROR_BIT | 18)
#define EFI_ABORTED (EFI_ERROR_BIT | 21)
#define EFI_SECURITY_VIOLATION (EFI_ERROR_BIT | 26)

struct efi_guid {
	u32 a;
	u16 b;
	u16 c;
	u8 d[8];
};

/* 9.1 EFI_LOADED_IMAGE_PROTOCOL */
#define EFI_LOADED_IMAGE_GUID {0x5b1b31a1, 0x9562, 0x11d2, {0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}}
struct efi_loaded_image {
	u32 revision;
	efi_handle parent;
	struct efi_system_table *system_table;
	efi_handle device;
};

/* 10.2 EFI_DEVICE_PATH_PROTOCOL; 10.3.5.4: media file path node. Nodes are not aligned. */
#define EFI_DEVICE_PATH_GUID {0x09576e91, 0x6d3f, 0x11d2, {0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}}
#define DEVICE_PATH_HEADER 4 /* bytes: type, subtype, length as 16 bits little-endian */
#define DEVICE_PATH_MEDIA 0x04
#define DEVICE_PATH_MEDIA_FILE 0x04
#define DEVICE_PATH_END 0x7f
#define DEVICE_PATH_END_ENTIRE 0xff

/* 12.4 EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL */
struct efi_text_output {
	void *reset;
	efi_status (*output_string)(struct efi_text_output *self, const u16 *text);
};

/* 12.3 EFI_SIMPLE_TEXT_INPUT_PROTOCOL */
struct efi_key {
	u16 scan_code;
	u16 character;
};
struct efi_text_input {
	void *reset;
	efi_status (*read_key)(struct efi_text_input *self, struct efi_key *key);
	efi_event wait_for_key;
};

/* 4.2 EFI_TABLE_HEADER */
struct efi_table_header {
	u64 signature;
	u32 revision;
	u32 size;
	u32 crc32;
	u32 reserved;
};

/* 4.4 EFI_BOOT_SERVICES, members in the order of the specification */
struct efi_boot_services {
	struct efi_table_header header;
	void *raise_tpl, *restore_tpl;
	void *allocate_pages, *free_pages, *get_memory_map, *allocate_pool;
	efi_status (*free_pool)(void *buffer);
	void *create_event, *set_timer;
	efi_status (*wait_for_event)(u64 count, efi_event *events, u64 *index);
	void *signal_event, *close_event, *check_event;
	void *install_protocol, *reinstall_protocol, *uninstall_protocol;
	efi_status (*handle_protocol)(efi_handle handle, const struct efi_guid *protocol, void **interface);
	void *reserved, *register_protocol_notify, *locate_handle, *locate_device_path;
	void *install_configuration_table;
	efi_status (*load_image)(u8 boot_policy, efi_handle parent, const u8 *device_path, void *source,
				 u64 source_size, efi_handle *image);
	efi_status (*start_image)(efi_handle image, u64 *exit_data_size, u16 **exit_data);
	void *exit;
	efi_status (*unload_image)(efi_handle image);
	void *exit_boot_services, *get_next_monotonic_count;
	efi_status (*stall)(u64 microseconds);
	efi_status (*set_watchdog_timer)(u64 seconds, u64 code, u64 data_size, const u16 *data);
};
_Static_assert(__builtin_offsetof(struct efi_boot_services, load_image) == 24 + 22 * 8, "LoadImage is service 22");
_Static_assert(__builtin_offsetof(struct efi_boot_services, set_watchdog_timer) == 24 + 29 * 8,
	       "SetWatchdogTimer is service 29");

/* 8.2.1: outlives a reset, for the firmware's programs and the running system */
#define EFI_VARIABLE_PERSISTENT (1 | 2 | 4)

/* 4.5 EFI_RUNTIME_SERVICES */
enum efi_reset_type { EFI_RESET_COLD = 0 };
struct efi_runtime_services {
	struct efi_table_header header;
	void *get_time, *set_time, *get_wakeup_time, *set_wakeup_time;
	void *set_virtual_address_map, *convert_pointer;
	efi_status (*get_variable)(const u16 *name, const struct efi_guid *vendor, u32 *attributes, u64 *size,
				   void *value);
	void *get_next_variable_name;
	efi_status (*set_variable)(const u16 *name, const struct efi_guid *vendor, u32 attributes, u64 size,
				   const void *value);
	void *get_next_high_monotonic_count;
	void (*reset_system)(enum efi_reset_type type, efi_status status, u64 data_size, void *data);
};
_Static_assert(__builtin_offsetof(struct efi_runtime_services, set_variable) == 24 + 8 * 8,
	       "SetVariable is service 8");
_Static_assert(__builtin_offsetof(struct efi_runtime_services, reset_system) == 24 + 10 * 8,
	       "ResetSystem is service 10");

/* 4.6 EFI_CONFIGURATION_TABLE; 4.6.2: EFI_RT_PROPERTIES_TABLE */
struct efi_configuration_table {
	struct efi_guid vendor;
	void *table;
};
#define EFI_RT_PROPERTIES_GUID {0xeb66918a, 0x7eef, 0x402a, {0x84, 0x2e, 0x93, 0x1d, 0x21, 0xc3, 0x8a, 0xe9}}
#define EFI_RT_SUPPORTED_SET_VARIABLE 0x40
struct efi_rt_properties {
	u16 version;
	u16 length;
	u32 supported;
};

/* 4.3 EFI_SYSTEM_TABLE */
struct efi_system_table {
	struct efi_table_header header;
	const u16 *firmware_vendor;
	u32 firmware_revision;
	efi_handle console_in_handle;
	struct efi_text_input *console_in;
	efi_handle console_out_handle;
	struct efi_text_output *console_out;
	efi_handle standard_error_handle;
	struct efi_text_output *standard_error;
	struct efi_runtime_services *runtime;
	struct efi_boot_services *boot;
	u64 configuration_tables;
	const struct efi_configuration_table *configuration;
};
_Static_assert(__builtin_offsetof(struct efi_system_table, configuration) == 24 + 11 * 8,
	       "the configuration tables are the last member");
