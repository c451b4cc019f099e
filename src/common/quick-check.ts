import { createRequire } from 'node:module';
import { TransformationType } from 'class-transformer';
import { getMetadataStorage, type ValidationArguments, ValidationTypes } from 'class-validator';

type Rule = (instance: object) => boolean;

/** The fields that a class knows, and their rules. */
interface Rules {
  readonly fields: ReadonlySet<string>;
  readonly all: readonly Rule[];
}

const known = new WeakMap<new () => object, Rules | undefined>();

/** What class-transformer was told about a class; it exports this under no better name, and Nest's mapped types take it there. */
const { defaultMetadataStorage: transforms } = createRequire(import.meta.url)('class-transformer/cjs/storage') as {
  defaultMetadataStorage: {
    getExposedMetadatas(type: object): readonly unknown[];
    getExcludedMetadatas(type: object): readonly unknown[];
    findTypeMetadata(type: object, field: string): unknown;
    findTransformMetadatas(type: object, field: string, direction: TransformationType): readonly unknown[];
  };
};

/**
 * An instance made of plain data, by class-validator's own constraints, which are looked up once for each class: class-validator
 * goes through the rules of all classes there are at each call, and class-transformer copies what nobody told it to change.
 * Its values are those of `plain`, not copies of them.
 *
 * @param strict whether a field that the class does not know breaks the rules.
 * @returns `undefined` when both have to be asked: they write the errors, and know what is not a matter of one value (nested
 * objects, optional fields, promises, transformations).
 */
export function quickly<T extends object>(type: new () => T, plain: object, strict: boolean): T | undefined {
  if (!known.has(type)) known.set(type, rulesOf(type));
  const rules = known.get(type);
  if (!rules) return undefined;
  const instance = new type() as Record<string, unknown>;
  for (const field of Object.keys(plain)) {
    if (strict && !rules.fields.has(field)) return undefined;
    // As class-transformer does.
    if (field !== '__proto__' && field !== 'constructor') instance[field] = (plain as Record<string, unknown>)[field];
  }
  for (const obeys of rules.all) if (!obeys(instance)) return undefined;
  return instance as T;
}

function rulesOf(type: new () => object): Rules | undefined {
  const storage = getMetadataStorage();
  const all: Rule[] = [];
  const fields = new Set<string>();
  if (transforms.getExposedMetadatas(type).length + transforms.getExcludedMetadatas(type).length > 0) return undefined;
  for (const metadata of storage.getTargetValidationMetadatas(type, '', false, false)) {
    const { propertyName: property, each, constraints, validateIf } = metadata;
    const [constraint, ...more] = storage.getTargetValidatorConstraints(metadata.constraintCls);
    if (
      metadata.type !== ValidationTypes.CUSTOM_VALIDATION ||
      validateIf ||
      constraint?.async !== false ||
      more.length > 0 ||
      transforms.findTypeMetadata(type, property) ||
      transforms.findTransformMetadatas(type, property, TransformationType.PLAIN_TO_CLASS).length > 0
    )
      return undefined;
    const check = constraint.instance;
    fields.add(property);
    all.push((instance) => {
      const value: unknown = (instance as Record<string, unknown>)[property];
      const args: ValidationArguments = { targetName: type.name, property, object: instance, value, constraints };
      if (!each) return check.validate(value, args) === true;
      return Array.isArray(value) && value.every((one) => check.validate(one, args) === true);
    });
  }
  // A default without a rule is a field that class-validator does not know: strictly, it refuses each instance.
  const defaults = Object.keys(new type());
  return fields.size > 0 && defaults.every((field) => fields.has(field)) ? { fields, all } : undefined;
}
